package jqlora.data;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/**
 * A task and its answer, as in the Alpaca data; with what LLaMA-Factory's form of it adds, a system prompt and earlier turns.
 *
 * @param input what the instruction is about; empty when it needs nothing
 * @param output the answer that is to be learned
 * @param system what the model is told about its part, in the place of the template's own first lines; empty for none
 * @param history earlier turns of the same talk, the earliest first
 * @param origin where the row stands; two rows of the same text are equal wherever they stand
 * @see <a href="https://github.com/hiyouga/LLaMA-Factory/blob/v0.9.3/data/README.md">LLaMA-Factory, Alpaca format</a>
 */
public record InstructionRow(String instruction, String input, String output, String system, List<Turn> history, RowOrigin origin) {
    public InstructionRow {
        if (instruction.isBlank() && input.isBlank()) {
            throw new IllegalArgumentException("instruction and input are both empty, one must say what is asked");
        }
        history = List.copyOf(history);
        requireWhole("instruction", instruction);
        requireWhole("input", input);
        requireWhole("output", output);
        requireWhole("system", system);
        for (int i = 0; i < history.size(); i++) {
            requireWhole("history[" + i + "][0]", history.get(i).instruction());
            requireWhole("history[" + i + "][1]", history.get(i).answer());
        }
    }

    /** A task without system prompt and earlier turns. */
    public InstructionRow(String instruction, String input, String output) {
        this(instruction, input, output, "", List.of(), RowOrigin.NONE);
    }

    /** A task without input. */
    public static InstructionRow of(String instruction, String output) {
        return new InstructionRow(instruction, "", output);
    }

    public InstructionRow withSystem(String system) {
        return new InstructionRow(instruction, input, output, system, history, origin);
    }

    public InstructionRow withHistory(List<Turn> history) {
        return new InstructionRow(instruction, input, output, system, history, origin);
    }

    InstructionRow withOrigin(RowOrigin origin) {
        return new InstructionRow(instruction, input, output, system, history, origin);
    }

    /** Half a character is no text: a tokenizer would put another in its place without a word. */
    private static void requireWhole(String column, String text) {
        for (int i = 0; i < text.length(); i++) {
            if (Character.isHighSurrogate(text.charAt(i)) && i + 1 < text.length() && Character.isLowSurrogate(text.charAt(i + 1))) {
                i++;
            } else if (Character.isSurrogate(text.charAt(i))) {
                throw new IllegalArgumentException(String.format("%s has half a character, \\u%04x, at place %d, it must have whole ones; "
                        + "the text was cut inside an emoji or the like: mend it where it was cut, or leave it"
                        + " out", column, (int) text.charAt(i), i + 1));
            }
        }
    }

    /** The texts of the row, in the order in which they are read. */
    List<String> texts() {
        List<String> texts = new ArrayList<>();
        texts.add(system);
        history.forEach(turn -> texts.addAll(List.of(turn.instruction(), turn.answer())));
        texts.addAll(List.of(instruction, input, output));
        return texts;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof InstructionRow row && texts().equals(row.texts());
    }

    @Override
    public int hashCode() {
        return Objects.hash(instruction, input, output);
    }
}
