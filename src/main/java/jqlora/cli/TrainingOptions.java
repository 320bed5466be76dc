package jqlora.cli;

import java.nio.file.Path;
import jqlora.data.BatchPlan;
import jqlora.model.ActivationBudget;
import jqlora.train.BatchConfig;
import jqlora.train.CheckpointConfig;
import jqlora.train.LearningRate;
import jqlora.train.Optim;
import jqlora.train.OptimizerConfig;
import jqlora.train.SftConfig;
import picocli.CommandLine.Option;

/** How a model is trained. Names and defaults are qlora.py's (qlora.py:197-214), where there is no other reason. */
final class TrainingOptions {
    static final String MAX_STEPS = "max_steps", EPOCHS = "num_train_epochs";

    @Option(names = "--output_dir", paramLabel = "FOLDER", description = "For the adapter, its checkpoints and the results.")
    private Path outputDir = Path.of("output");

    @Option(names = "--overwrite_output_dir", arity = Flag.ARITY, fallbackValue = Flag.ALONE, paramLabel = Flag.LABEL,
            description = {"Removes the run that the folder holds and begins again; without it that run goes on.", Flag.DEFAULT})
    private boolean overwriteOutputDir;

    @Option(names = "--do_train", arity = Flag.ARITY, fallbackValue = Flag.ALONE, paramLabel = Flag.LABEL,
            description = {"false: only evaluates the adapter in the folder, or the bare model.", Flag.DEFAULT})
    private boolean doTrain = true;

    @Option(names = "--do_eval", arity = Flag.ARITY, fallbackValue = Flag.ALONE, paramLabel = Flag.LABEL,
            description = {"Holds rows out, and tells the loss on them before and after.", Flag.DEFAULT})
    private boolean doEval = true;                                // false in transformers, which would leave a run unmeasured

    @Option(names = "--max_steps", paramLabel = "STEPS",
            description = "Optimizer steps; 0 for those of the epochs. Without either option 10000.")
    private Integer maxSteps;

    @Option(names = "--num_train_epochs", paramLabel = "EPOCHS", description = "Passes over the rows, where --max_steps is not given or 0.")
    private Double numTrainEpochs;

    @Option(names = "--per_device_train_batch_size", paramLabel = "ROWS", description = "Rows that go through the model together.")
    private int perDeviceTrainBatchSize = BatchConfig.defaults().perDeviceTrainBatchSize();

    @Option(names = "--gradient_accumulation_steps", paramLabel = "N", description = "How often that is done for a step.")
    private int gradientAccumulationSteps = BatchConfig.defaults().gradientAccumulationSteps();

    @Option(names = "--group_by_length", arity = Flag.ARITY, fallbackValue = Flag.ALONE, paramLabel = Flag.LABEL,
            description = {"Rows of like length together.", Flag.DEFAULT})
    private boolean groupByLength = BatchConfig.defaults().order() == BatchPlan.Order.GROUPED_BY_LENGTH;

    @Option(names = "--learning_rate", paramLabel = "RATE", description = "The highest one.")
    private double learningRate = SftConfig.defaults().learningRate().peak();

    @Option(names = "--lr_scheduler_type", paramLabel = "TYPE", description = "constant, constant_with_warmup, linear or cosine.")
    private String lrSchedulerType = SftConfig.defaults().learningRate().type().id();

    @Option(names = "--warmup_ratio", paramLabel = "SHARE",
            description = "Share of the steps over which the rate rises; constant has none.")
    private double warmupRatio = 0.03;

    @Option(names = "--optim", paramLabel = "NAME",
            description = {"adamw_torch, paged_adamw_32bit, adamw_bnb_8bit, paged_adamw_8bit, and transformers' other",
            "names of these."})
    private String optim = "paged_adamw_32bit";

    @Option(names = "--adam_beta1", paramLabel = "BETA", description = "Decay of the mean of gradients.")
    private double adamBeta1 = OptimizerConfig.defaults().beta1();

    @Option(names = "--adam_beta2", paramLabel = "BETA", description = "Decay of the mean of their squares.")
    private double adamBeta2 = OptimizerConfig.defaults().beta2();

    @Option(names = "--adam_epsilon", paramLabel = "EPS", description = "Added to the root of that.")
    private double adamEpsilon = OptimizerConfig.defaults().eps();

    @Option(names = "--weight_decay", paramLabel = "W", description = "Of the adapter.")
    private double weightDecay = OptimizerConfig.defaults().weightDecay();

    @Option(names = "--max_grad_norm", paramLabel = "NORM", description = "Gradients are scaled down to it; 0 for never.")
    private double maxGradNorm = OptimizerConfig.defaults().maxGradNorm();

    @Option(names = "--gradient_checkpointing", arity = Flag.ARITY, fallbackValue = Flag.ALONE, paramLabel = Flag.LABEL,
            description = {"Computes activations again in the backward: less memory, more time, the same bits.", Flag.DEFAULT})
    private boolean gradientCheckpointing = true;

    @Option(names = "--logging_steps", paramLabel = "STEPS", description = "Steps between two lines, where the output is no terminal.")
    private int loggingSteps = 10;

    @Option(names = "--save_steps", paramLabel = "STEPS", description = "Steps between two checkpoints; 0 for one at the end alone.")
    private int saveSteps = CheckpointConfig.defaults().saveSteps();

    @Option(names = "--save_total_limit", paramLabel = "N", description = "Checkpoints that stay, the newest.")
    private int saveTotalLimit = 40;

    @Option(names = "--eval_steps", paramLabel = "STEPS",
            description = "Steps between two evaluations, beside the first and the last; 0 for none.")
    private int evalSteps = CheckpointConfig.defaults().evalSteps();

    @Option(names = "--seed", paramLabel = "SEED", description = "Of the adapter's start, the order of rows and dropout.")
    private long seed = SftConfig.defaults().seed();

    long seed() {
        return seed;
    }

    RunSettings run() {
        if (!doTrain && !doEval) {
            throw new IllegalArgumentException("--do_train and --do_eval are both false, so there is nothing to do; one must be true");
        }
        Refused.below("--logging_steps", loggingSteps, 1, "the default is 10");
        if (!(warmupRatio >= 0 && warmupRatio <= 1)) {
            throw new IllegalArgumentException("--warmup_ratio is " + warmupRatio + ", it must be from 0 to 1, a share of the steps");
        }
        return new RunSettings(outputDir, overwriteOutputDir, doTrain, doEval, loggingSteps, warmupRatio);
    }

    /** Without the steps of warm-up, which are a share of the steps that the rows settle. */
    SftConfig sft() {
        steps();
        SftConfig sft = SftConfig.defaults();
        sft = maxSteps > 0 ? sft.withMaxSteps(maxSteps) : Refused.orTaken("--" + EPOCHS, numTrainEpochs, sft::withNumTrainEpochs);
        BatchConfig batches = Refused.orTaken("--per_device_train_batch_size", perDeviceTrainBatchSize,
                BatchConfig.defaults()::withPerDeviceTrainBatchSize);
        batches = Refused.orTaken("--gradient_accumulation_steps", gradientAccumulationSteps, batches::withGradientAccumulationSteps);
        LearningRate.Type type = Refused.orTaken("--lr_scheduler_type", lrSchedulerType, LearningRate.Type::ofId);
        return sft.withBatches(batches.withOrder(groupByLength ? BatchPlan.Order.GROUPED_BY_LENGTH : BatchPlan.Order.SHUFFLED))
                .withLearningRate(Refused.orTaken("--learning_rate", learningRate, rate -> new LearningRate(type, rate, 0)))
                .withOptimizer(optimizer()).withCheckpoints(checkpoints())
                .withActivations(gradientCheckpointing ? ActivationBudget.recomputeAll() : ActivationBudget.keepAll()).withSeed(seed);
    }

    /** In transformers max_steps goes before the epochs; its default here does not, since then the epochs would never count. */
    private void steps() {
        if (maxSteps == null) {
            maxSteps = numTrainEpochs == null ? 10_000 : 0;
        }
        Refused.below("--" + MAX_STEPS, maxSteps, -1, "0 or -1 stands for those of the epochs");
        maxSteps = Math.max(0, maxSteps);
        if (numTrainEpochs == null) {
            numTrainEpochs = 3.0;
        }
    }

    private OptimizerConfig optimizer() {
        OptimizerConfig start = OptimizerConfig.defaults().withOptim(Refused.orTaken("--optim", optim, Optim::ofName));
        OptimizerConfig first = Refused.orTaken("--adam_beta1", adamBeta1, beta -> new OptimizerConfig(start.optim(), beta, start.beta2(),
                start.eps(), 0, 0));
        OptimizerConfig second = Refused.orTaken("--adam_beta2", adamBeta2, beta -> new OptimizerConfig(first.optim(), first.beta1(),
                beta, first.eps(), 0, 0));
        OptimizerConfig third = Refused.orTaken("--adam_epsilon", adamEpsilon,
                eps -> new OptimizerConfig(second.optim(), second.beta1(), second.beta2(), eps, 0, 0));
        OptimizerConfig decayed = Refused.orTaken("--weight_decay", weightDecay, third::withWeightDecay);
        return Refused.orTaken("--max_grad_norm", maxGradNorm, decayed::withMaxGradNorm);
    }

    private CheckpointConfig checkpoints() {
        CheckpointConfig start = CheckpointConfig.defaults();
        CheckpointConfig saved = Refused.orTaken("--save_steps", saveSteps, start::withSaveSteps);
        CheckpointConfig limited = Refused.orTaken("--save_total_limit", saveTotalLimit,
                limit -> new CheckpointConfig(saved.saveSteps(), limit, saved.evalSteps(), overwriteOutputDir));
        return Refused.orTaken("--eval_steps", evalSteps, limited::withEvalSteps);
    }
}
