package jqlora.generate;

import java.util.Arrays;
import java.util.Set;
import java.util.function.IntConsumer;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import jqlora.model.CausalLm;
import jqlora.model.Continuation;
import jqlora.model.TokenIds;

/**
 * Continues token ids.
 *
 * @param stopIds ids after which an answer ends
 */
public record Generator(CausalLm model, GenerationConfig config, Set<Integer> stopIds) {

    /**
     * The tokens that follow {@code prompt}, the stop token included where there is one.
     *
     * @param prompt [1 ... ]
     * @param listener hears each token as it is chosen
     * @throws IllegalArgumentException if the prompt is empty, or a token of it is not in the model's embedding
     */
    public int[] generate(int[] prompt, IntConsumer listener) {
        if (prompt.length == 0) {
            throw new IllegalArgumentException("generation: the prompt has no token, it must have at least one");
        }
        TokenIds.require(model, "generation: prompt", prompt, Integer::toString);
        RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(config.seed());
        int[] made = new int[config.maxNewTokens()];
        int count = 0;
        try (Continuation continuation = model.continuation(prompt, config.maxNewTokens(), config.sampler(), random)) {
            while (count < made.length) {
                int token = continuation.next();
                made[count++] = token;
                listener.accept(token);
                if (stopIds.contains(token) || Thread.currentThread().isInterrupted()) {
                    break;
                }
            }
        }
        return Arrays.copyOf(made, count);
    }

    /** As {@link #generate(int[], IntConsumer)}, heard by nobody. */
    public int[] generate(int... prompt) {
        return generate(prompt, token -> { });
    }
}
