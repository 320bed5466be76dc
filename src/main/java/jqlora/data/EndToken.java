package jqlora.data;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import jqlora.format.JsonFileException;
import jqlora.format.JsonView;

/**
 * The token that ends an answer.
 *
 * @param notices what a reader should know of how it was found
 */
record EndToken(int id, List<String> notices) {
    /** Of tokenizer classes that have an end token of their own, as in transformers 5.17.0's models. */
    private static final Map<String, String> OF_CLASS = Map.of("LlamaTokenizer", "</s>", "CodeLlamaTokenizer", "</s>",
            "GemmaTokenizer", "<eos>", "GPT2Tokenizer", "<|endoftext|>", "Qwen2Tokenizer", "<|endoftext|>", "GPTNeoXTokenizer", "<|endoftext|>");

    EndToken {
        notices = List.copyOf(notices);
    }

    /**
     * The token that the files name; without one, that of the tokenizer's class; without that, the first id of {@code eos_token_id}.
     *
     * @param stopIds of generation_config.json or config.json
     * @throws JsonFileException if nothing says what it is, or it is no token of the vocabulary
     */
    static EndToken find(Path folder, SpecialTokens special, TokenizerJson tokenizer, List<Integer> stopIds) throws IOException {
        if (special.text(SpecialTokens.EOS).isPresent()) {
            String text = special.text(SpecialTokens.EOS).get();
            OptionalInt id = tokenizer.id(text);
            if (id.isEmpty()) {
                throw new JsonFileException(special.config().file(), "eos_token is \"" + text
                        + "\", it must be one token of the vocabulary of " + TokenizerJson.FILE + "; write the token there"
                        + " that ends an answer of this model, as in eos_token_id of generation_config.json");
            }
            return new EndToken(id.getAsInt(), List.of());
        }
        JsonView config = special.config();
        boolean isNull = config.keys().contains(SpecialTokens.EOS);
        if (!isNull && config.value("tokenizer_class") instanceof String name) {
            String text = OF_CLASS.get(name.endsWith("Fast") ? name.substring(0, name.length() - "Fast".length()) : name);
            OptionalInt id = text == null ? OptionalInt.empty() : tokenizer.id(text);
            if (id.isPresent()) {
                return new EndToken(id.getAsInt(), List.of());
            }
        }
        if (!stopIds.isEmpty()) {
            List<String> notices = new ArrayList<>();
            if (stopIds.size() > 1) {
                notices.add(folder + ": no file names eos_token; of the " + stopIds.size() + " ids in eos_token_id, the first, "
                        + stopIds.getFirst()
                        + ", ends the rows that are trained on; to take another, name its token as eos_token in " + SpecialTokens.CONFIG);
            }
            return new EndToken(stopIds.getFirst(), notices);
        }
        JsonFileException missing = config.fault(SpecialTokens.EOS, "the token that ends an answer, as a string");
        throw new JsonFileException(folder.toString(), "no file says which token ends an answer: neither eos_token in "
                + SpecialTokens.CONFIG + " or " + SpecialTokens.MAP
                + " nor eos_token_id in generation_config.json or config.json; add one of them (" + missing.getMessage() + ")");
    }
}
