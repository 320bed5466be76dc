package jqlora.generate;

import jqlora.ops.Sampler;

/**
 * @param maxNewTokens at which an answer ends at the latest
 * @param seed of a random sampler
 */
public record GenerationConfig(int maxNewTokens, Sampler sampler, long seed) {
    public GenerationConfig {
        if (maxNewTokens < 1) {
            throw new IllegalArgumentException("generation: maxNewTokens is " + maxNewTokens + ", it must be at least 1");
        }
    }

    /** Greedy, up to 256 tokens, as qlora.py:221-232. */
    public static GenerationConfig defaults() {
        return new GenerationConfig(256, new Sampler.Greedy(), 42);
    }

    public GenerationConfig withMaxNewTokens(int maxNewTokens) {
        return new GenerationConfig(maxNewTokens, sampler, seed);
    }

    public GenerationConfig withSampler(Sampler sampler) {
        return new GenerationConfig(maxNewTokens, sampler, seed);
    }

    /** At random, with the settings of {@link Sampler.Random}. */
    public GenerationConfig withSampling(double temperature, int topK, double topP) {
        return withSampler(new Sampler.Random(temperature, topK, topP));
    }

    public GenerationConfig withSeed(long seed) {
        return new GenerationConfig(maxNewTokens, sampler, seed);
    }
}
