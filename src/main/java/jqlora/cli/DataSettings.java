package jqlora.cli;

import jqlora.data.LengthLimits;
import jqlora.data.SupervisedTokenizer;
import jqlora.data.TextTokenizer;

/**
 * Which rows, and how they become tokens.
 *
 * @param dataset the name of a set that ships with jqlora, a file, or a folder
 * @param evalDatasetSize rows of a file to hold out; null for the default
 * @param maxTrainSamples null for all
 * @param maxEvalSamples null for all
 */
record DataSettings(String dataset, DatasetFormat format, Integer evalDatasetSize, Integer maxTrainSamples, Integer maxEvalSamples,
        LengthLimits limits, SupervisedTokenizer.Learned learned) {
    SupervisedTokenizer tokenizer(TextTokenizer tokenizer) {
        return new SupervisedTokenizer(tokenizer, format.template(), limits, learned);
    }
}
