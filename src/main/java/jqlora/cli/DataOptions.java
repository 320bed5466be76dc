package jqlora.cli;

import jqlora.data.LengthLimits;
import jqlora.data.SupervisedTokenizer;
import picocli.CommandLine.Option;

/** What a model is trained on and asked. Names and defaults are qlora.py's (qlora.py:94-133), where there is no other reason. */
final class DataOptions {
    @Option(names = "--dataset", paramLabel = "DATA",
            description = {"A set that ships with jqlora, a json or jsonl file with instruction, input and output, or a",
            "folder with train.jsonl and test.jsonl."})
    private String dataset = "en-wiki-questions";

    @Option(names = "--dataset_format", paramLabel = "FORMAT",
            description = {"alpaca: asked in Alpaca's words; input-output: input is the whole prompt, with no word",
            "around it."})
    private String datasetFormat = DatasetFormat.ALPACA.id();

    @Option(names = "--eval_dataset_size", paramLabel = "ROWS",
            description = {"Rows of a file that are held out, the same each time; a set with a test.jsonl has them",
            "there. Without this option 1024, at most a tenth."})
    private Integer evalDatasetSize;

    @Option(names = "--max_train_samples", paramLabel = "ROWS", description = "Trains on the first rows only.")
    private Integer maxTrainSamples;

    @Option(names = "--max_eval_samples", paramLabel = "ROWS", description = "Evaluates on the first rows that are held out only.")
    private Integer maxEvalSamples;

    @Option(names = "--source_max_len", paramLabel = "TOKENS", description = "What is longer is cut from a prompt.")
    private int sourceMaxLen = LengthLimits.defaults().sourceMaxLen();

    @Option(names = "--target_max_len", paramLabel = "TOKENS", description = "What is longer is cut from an answer.")
    private int targetMaxLen = LengthLimits.defaults().targetMaxLen();

    @Option(names = "--train_on_source", arity = Flag.ARITY, fallbackValue = Flag.ALONE, paramLabel = Flag.LABEL,
            description = {"Learns the prompt too, not the answer alone.", Flag.DEFAULT})
    private boolean trainOnSource;

    DataSettings settings() {
        Refused.below("--eval_dataset_size", evalDatasetSize, 1, "--do_eval false holds out nothing");
        Refused.below("--max_train_samples", maxTrainSamples, 1, "leave it out for all rows");
        Refused.below("--max_eval_samples", maxEvalSamples, 1, "leave it out for all rows that are held out");
        Refused.below("--source_max_len", sourceMaxLen, 1, "the default is " + LengthLimits.defaults().sourceMaxLen());
        Refused.below("--target_max_len", targetMaxLen, 1, "the default is " + LengthLimits.defaults().targetMaxLen());
        return new DataSettings(dataset, DatasetFormat.ofId(datasetFormat), evalDatasetSize, maxTrainSamples, maxEvalSamples,
                new LengthLimits(sourceMaxLen, targetMaxLen, (int) Math.min(Integer.MAX_VALUE, (long) sourceMaxLen + targetMaxLen)),
                trainOnSource ? SupervisedTokenizer.Learned.EVERY_TOKEN : SupervisedTokenizer.Learned.LAST_ANSWER);
    }
}
