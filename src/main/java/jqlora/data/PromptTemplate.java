package jqlora.data;

import java.util.ArrayList;
import java.util.List;

/**
 * The text that a model is given before it answers. {@code {instruction}} and {@code {input}} stand for a row's parts; the answer follows
 * at once. What stands before the last empty line in front of the first of them is the template's preamble: it comes once, before the first
 * turn of a row, and a row's system prompt takes its place. Each turn then has the rest of the template, an empty line between two turns.
 *
 * @param withInput for rows that have an input
 * @param withoutInput for rows that have none
 */
public record PromptTemplate(String withInput, String withoutInput) {
    private static final String INSTRUCTION = "{instruction}", INPUT = "{input}", TURN_BREAK = "\n\n";

    public PromptTemplate {
        if (!withInput.contains(INSTRUCTION) || !withInput.contains(INPUT) || !withoutInput.contains(INSTRUCTION)) {
            throw new IllegalArgumentException("prompt template: it must contain {instruction}, and {input} where there is one");
        }
    }

    /**
     * The template of Stanford Alpaca in the form of qlora.py.
     *
     * @see <a href="https://github.com/artidoro/qlora/blob/7f4e95a/qlora.py">qlora.py:507-520, ALPACA_PROMPT_DICT</a>
     */
    public static PromptTemplate alpaca() {
        return new PromptTemplate("""
                Below is an instruction that describes a task, paired with an input that provides further context. \
                Write a response that appropriately completes the request.

                ### Instruction:
                {instruction}

                ### Input:
                {input}

                ### Response:\s""", """
                Below is an instruction that describes a task. Write a response that appropriately completes the request.

                ### Instruction:
                {instruction}

                ### Response:\s""");
    }

    /** All that a model is given before it answers {@code row}: preamble, earlier turns, and what is asked. */
    public String prompt(InstructionRow row) {
        StringBuilder prompt = new StringBuilder();
        segments(row).stream().filter(segment -> segment.kind() != Segment.Kind.ANSWER).forEach(segment -> prompt.append(segment.text()));
        return prompt.toString();
    }

    /** The parts of {@code row}, in order: a prompt and an answer for each turn. */
    public List<Segment> segments(InstructionRow row) {
        String own = row.input().isEmpty() ? withoutInput : withInput;
        String front = row.system().isEmpty() ? own.substring(0, turnStart(own)) : row.system() + TURN_BREAK;
        List<Segment> segments = new ArrayList<>();
        for (Turn turn : row.history()) {
            String asked = filled(withoutInput.substring(turnStart(withoutInput)), turn.instruction(), "");
            segments.add(new Segment(front + asked, Segment.Kind.PROMPT));
            segments.add(new Segment(turn.answer(), Segment.Kind.EARLIER_ANSWER));
            front = TURN_BREAK;
        }
        segments.add(new Segment(front + filled(own.substring(turnStart(own)), row.instruction(), row.input()), Segment.Kind.PROMPT));
        segments.add(new Segment(row.output(), Segment.Kind.ANSWER));
        return segments;
    }

    /**
     * What the template has behind the last part of a row, such as {@code ### Response:}, without spaces; a prompt that lost it asks for no
     * answer.
     */
    String tail(InstructionRow row) {
        String template = row.input().isEmpty() ? withoutInput : withInput;
        int instruction = template.lastIndexOf(INSTRUCTION), input = row.input().isEmpty() ? -1 : template.lastIndexOf(INPUT);
        return template.substring(Math.max(instruction + INSTRUCTION.length(), input + INPUT.length())).strip();
    }

    private static int turnStart(String template) {
        int instruction = template.indexOf(INSTRUCTION), input = template.indexOf(INPUT);
        int first = input < 0 ? instruction : Math.min(instruction, input);
        int line = template.lastIndexOf(TURN_BREAK, first);
        return line < 0 ? 0 : line + TURN_BREAK.length();
    }

    private static String filled(String template, String instruction, String input) {
        StringBuilder prompt = new StringBuilder();
        int at = 0;
        for (int open; (open = template.indexOf('{', at)) >= 0; ) {
            prompt.append(template, at, open);
            if (template.startsWith(INSTRUCTION, open)) {
                prompt.append(instruction);
                at = open + INSTRUCTION.length();
            } else if (template.startsWith(INPUT, open)) {
                prompt.append(input);
                at = open + INPUT.length();
            } else {
                prompt.append('{');
                at = open + 1;
            }
        }
        return prompt.append(template, at, template.length()).toString();
    }
}
