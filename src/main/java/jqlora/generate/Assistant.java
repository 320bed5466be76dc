package jqlora.generate;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import jqlora.data.InstructionRow;
import jqlora.data.SupervisedTokenizer;
import jqlora.model.CausalLm;
import jqlora.model.TokenIds;

/**
 * Asks a model in the words in which it is trained: the same template, the same tokenizer.
 */
public record Assistant(CausalLm model, SupervisedTokenizer tokenizer, GenerationConfig config) {

    /** Greedy answers of up to 256 tokens. */
    public static Assistant of(CausalLm model, SupervisedTokenizer tokenizer) {
        return new Assistant(model, tokenizer, GenerationConfig.defaults());
    }

    public Assistant withConfig(GenerationConfig config) {
        return new Assistant(model, tokenizer, config);
    }

    /** The answer to {@code row}'s instruction and input. */
    public String answer(InstructionRow row) {
        return text(new Generator(model, config, tokenizer.tokenizer().stopIds()).generate(prompt(row)));
    }

    /** The answer to {@code instruction}. */
    public String answer(String instruction) {
        return answer(InstructionRow.of(instruction, ""));
    }

    /**
     * As {@link #answer(InstructionRow)}, piece by piece.
     *
     * @param listener hears new text as soon as it is settled: a character made of several tokens comes whole
     */
    public String stream(InstructionRow row, Consumer<String> listener) {
        List<Integer> ids = new ArrayList<>();
        String[] told = {""};
        int[] made = new Generator(model, config, tokenizer.tokenizer().stopIds()).generate(prompt(row), token -> {
            ids.add(token);
            String text = tokenizer.tokenizer().decode(ids.stream().mapToInt(Integer::intValue).toArray());
            if (!text.endsWith("\uFFFD") && text.startsWith(told[0])) {
                listener.accept(text.substring(told[0].length()));
                told[0] = text;
            }
        });
        return text(made);
    }

    private int[] prompt(InstructionRow row) {
        int[] ids = tokenizer.prompt(row);
        TokenIds.require(model, "prompt", ids, tokenizer.tokenizer()::describe);
        return ids;
    }

    private String text(int[] ids) {
        return tokenizer.tokenizer().decode(ids).strip();
    }
}
