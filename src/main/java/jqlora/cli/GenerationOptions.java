package jqlora.cli;

import jqlora.generate.GenerationConfig;
import jqlora.ops.Sampler;
import picocli.CommandLine.Option;

/** How the answers at the end are made. Names and defaults are qlora.py's (qlora.py:221-246). */
final class GenerationOptions {
    @Option(names = "--max_new_tokens", paramLabel = "TOKENS", description = "At which an answer ends at the latest.")
    private int maxNewTokens = GenerationConfig.defaults().maxNewTokens();

    @Option(names = "--do_sample", arity = Flag.ARITY, fallbackValue = Flag.ALONE, paramLabel = Flag.LABEL,
            description = {"At random, not the likeliest token each time.", Flag.DEFAULT})
    private boolean doSample;

    @Option(names = "--temperature", paramLabel = "T", description = "With --do_sample: below 1 sharpens.")
    private double temperature = 1;

    @Option(names = "--top_k", paramLabel = "K", description = "With --do_sample: tokens that stay; 0 for all.")
    private int topK = 50;

    @Option(names = "--top_p", paramLabel = "P", description = "With --do_sample: share of the probability that stays.")
    private double topP = 1;

    /** @param seed of a random sampler */
    GenerationConfig settings(long seed) {
        GenerationConfig generation = Refused.orTaken("--max_new_tokens", maxNewTokens, GenerationConfig.defaults()::withMaxNewTokens)
                .withSeed(seed);
        Refused.orTaken("--temperature", temperature, value -> new Sampler.Random(value, 0, 1));
        Refused.orTaken("--top_k", topK, value -> new Sampler.Random(1, value, 1));
        Refused.orTaken("--top_p", topP, value -> new Sampler.Random(1, 0, value));
        return doSample ? generation.withSampling(temperature, topK, topP) : generation;
    }
}
