package jqlora.model;

import java.util.function.IntFunction;

/** Whether token ids are ids of a model's embedding. */
public final class TokenIds {
    private TokenIds() { }

    /**
     * @param where what the ids are of, such as {@code train.jsonl: line 4}
     * @param token what a token is called, such as {@code 260 "<|tool|>"}
     * @throws IllegalArgumentException if an id is not in [0, vocabSize) of {@code model}, with its place and what would do
     */
    public static void require(CausalLm model, String where, int[] ids, IntFunction<String> token) {
        int vocabSize = model.spec().vocabSize();
        for (int i = 0; i < ids.length; i++) {
            if (ids[i] < 0 || ids[i] >= vocabSize) {
                throw new IllegalArgumentException(where + ": token " + token.apply(ids[i]) + ", at place " + (i + 1)
                        + ", is not in the model's embedding: its id must be below the "
                        + vocabSize + " rows there (vocab_size); take the tokenizer that belongs to the model, leave the token out of the"
                        + " text, or take a model whose embedding"
                        + " was made larger for it (resize_token_embeddings in transformers)");
            }
        }
    }
}
