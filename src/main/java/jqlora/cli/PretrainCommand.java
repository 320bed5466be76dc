package jqlora.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import jqlora.data.BatchPlan;
import jqlora.data.TokenFile;
import jqlora.data.TokenizedRow;
import jqlora.device.Device;
import jqlora.format.FolderUse;
import jqlora.format.HfConfig;
import jqlora.model.ActivationBudget;
import jqlora.model.CausalLm;
import jqlora.model.ModelLoader;
import jqlora.model.ModelWriter;
import jqlora.ops.Ops;
import jqlora.tensor.DType;
import jqlora.train.BatchConfig;
import jqlora.train.CheckpointConfig;
import jqlora.train.LearningRate;
import jqlora.train.Optim;
import jqlora.train.OptimizerConfig;
import jqlora.train.SftConfig;
import jqlora.train.SftTrainer;
import jqlora.train.TrainEvent;
import jqlora.train.TrainListener;
import jqlora.train.TrainResult;
import jqlora.train.TrainedWeights;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Trains a model from random weights: full fine-tuning with nothing to start from. The embedded model is made with the defaults. */
@Command(name = "pretrain", description = "Train a model from random weights on a stream of tokens.", mixinStandardHelpOptions = true, showDefaultValues = true)
final class PretrainCommand implements Callable<Integer> {
    @Option(names = "--base", required = true, description = "Folder with config.json and the tokenizer's files.")
    private Path base;

    @Option(names = "--corpus", required = true, description = "Folder with train.bin and valid.bin (unsigned 16-bit token ids).")
    private Path corpus;

    @Option(names = "--output", required = true, description = "Folder for the model; checkpoints lie in its folder .training, and a stopped run goes on from there.")
    private Path output;

    @Option(names = "--device", description = "auto, cpu, cuda or cuda:N.")
    private String device = "auto";

    @Mixin
    private ProcessorThreads processor = new ProcessorThreads();

    @Mixin
    private CudaFolders cuda = new CudaFolders();

    @Option(names = "--epochs", description = "Passes over the corpus.")
    private double epochs = 9.47;

    @Option(names = "--length", description = "Tokens of a row.")
    private int length = 256;

    @Option(names = "--micro-batch", description = "Rows that go through the model together.")
    private int microBatch = 64;

    @Option(names = "--accumulate", description = "Micro-batches of a step.")
    private int accumulate = 1;

    @Option(names = "--learning-rate", description = "Peak of the cosine.")
    private double learningRate = 3e-3;

    @Option(names = "--warmup", description = "Steps over which the learning rate rises.")
    private int warmup = 300;

    @Option(names = "--weight-decay", description = "Of matrices.")
    private double weightDecay = 0.1;

    @Option(names = "--optim", description = {"adamw_torch, or adamw_bnb_8bit for moments in 8 bits;", "paged_adamw_32bit or paged_adamw_8bit to keep them in the host's memory."})
    private String optim = "adamw_torch";

    @Option(names = "--save-steps", description = "Steps between checkpoints.")
    private int saveSteps = 2500;

    @Option(names = "--valid-rows", description = "Rows of valid.bin that are evaluated.")
    private int validRows = 400;

    @Option(names = "--overwrite", description = "Begin again where the output folder holds another run's checkpoints, which are removed.")
    private boolean overwrite;

    @Option(names = "--seed", description = "Of weights and order.")
    private long seed = 1;

    @Override
    public Integer call() throws IOException {
        if (Files.exists(output) && Files.exists(base) && Files.isSameFile(output, base)) {
            throw new IOException("--output is " + output + ", the folder of --base, it must be another one");
        }
        FolderUse.requireForModel(output);                        // before the long work
        HfConfig config = HfConfig.read(base);
        int vocabSize = config.values().positive("vocab_size");
        Device computes = Device.parse("--device", device);
        List<TokenizedRow> rows = TokenFile.rows(corpus.resolve("train.bin"), length, vocabSize);
        List<TokenizedRow> valid = TokenFile.rows(corpus.resolve("valid.bin"), length, vocabSize);
        valid = valid.subList(0, Math.min(validRows, valid.size()));
        SftConfig settings = new SftConfig(epochs, 0, new BatchConfig(microBatch, accumulate, BatchPlan.Order.SHUFFLED, BatchConfig.Normalization.TOKENS),
                new LearningRate(LearningRate.Type.COSINE, learningRate, warmup), new OptimizerConfig(Optim.ofName(optim), 0.9, 0.95, 1e-8, weightDecay, 1.0),
                new CheckpointConfig(saveSteps, 2, saveSteps, overwrite), ActivationBudget.keepAll(), seed);
        try (Ops ops = computes.open(processor.options(), cuda.nvidia(), System.out::println);
                CausalLm model = ModelLoader.initialize(config, seed, ops)) {
            System.out.printf(Locale.ROOT, "%s: %d rows of %d tokens, %d steps, %s%n", model, rows.size(), length, settings.totalSteps(rows.size()), ops.description());
            Files.createDirectories(output);
            TrainResult result = new SftTrainer(new TrainedWeights.OfModel(model), rows, valid, settings, output.resolve(".training")).train(new Report());
            if (result.interrupted()) {
                return 1;
            }
            new ModelWriter(base, DType.BF16).write(model, output);
            System.out.println("wrote " + output + "; " + output.resolve(".training") + " may be deleted");
            return 0;
        }
    }

    /** A line every 50 steps. */
    private static final class Report implements TrainListener {
        private static final int EVERY = 50;
        private int totalSteps;
        private double seconds;
        private int timed;

        @Override
        public void on(TrainEvent event) {
            switch (event) {
                case TrainEvent.Noticed noticed -> System.out.println(noticed.notice());
                case TrainEvent.Started started -> {
                    totalSteps = started.totalSteps();
                    System.out.printf(Locale.ROOT, "%d parameters, from step %d%n", started.trainedParameters(), started.firstStep());
                }
                case TrainEvent.StepEnd step -> {
                    seconds += step.seconds();
                    timed++;
                    if (step.step() % EVERY == 0) {
                        Duration left = Duration.ofSeconds((long) (seconds / timed * (totalSteps - step.step())));
                        System.out.printf(Locale.ROOT, "step %d/%d  loss %.3f  norm %.2f  lr %.2e  %.0f tokens/s  %d:%02d h left%n", step.step(), totalSteps, step.loss(),
                                step.gradNorm(), step.learningRate(), step.tokensPerSecond(), left.toHours(), left.toMinutesPart());
                    }
                }
                case TrainEvent.Evaluated evaluated -> System.out.printf(Locale.ROOT, "step %d  held-out loss %.4f%n", evaluated.step(), evaluated.loss());
                case TrainEvent.Saved saved -> System.out.println("saved " + saved.folder());
                case TrainEvent.Ended ended -> System.out.printf(Locale.ROOT, "%s after %.0f s%n", ended.interrupted() ? "interrupted" : "done", ended.seconds());
            }
        }
    }
}
