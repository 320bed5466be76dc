package jqlora.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import jqlora.Oracle;
import jqlora.TinyModel;
import jqlora.data.BatchPlan;
import jqlora.data.TokenizedRow;
import jqlora.lora.LoraAdapter;
import jqlora.lora.LoraConfig;
import jqlora.model.ActivationBudget;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.ModelLoader;
import jqlora.ops.Ops;

/**
 * A run of 8 steps on a tiny model, in 4 bits under an adapter or trained as a whole: two micro-batches a step, five steps an epoch, dropout, a falling learning rate, a checkpoint after each step,
 * evaluations between.
 *
 * @param full whether the whole model is trained and not an adapter
 */
record SmallRun(boolean full) {
    static final int STEPS = 8;

    static SftConfig config() {
        return new SftConfig(1, STEPS, new BatchConfig(2, 2, BatchPlan.Order.GROUPED_BY_LENGTH, BatchConfig.Normalization.TOKENS),
                new LearningRate(LearningRate.Type.COSINE, 1e-2, 2), OptimizerConfig.defaults().withWeightDecay(0.01), new CheckpointConfig(1, 2, 3),
                ActivationBudget.keepAll(), 5);
    }

    static List<TokenizedRow> rows() {
        return TinyModel.rows(19, 24, 11);
    }

    static List<TokenizedRow> heldOut() {
        return TinyModel.rows(4, 24, 12);
    }

    static LoraConfig lora() {
        return LoraConfig.defaults().withR(4).withLoraAlpha(8).withLoraDropout(0.1f).withTargetModules("q_proj", "v_proj", "down_proj");
    }

    static CausalLm model(Ops ops, LoadOptions options) throws IOException {
        return ModelLoader.load(Oracle.path("families/llama"), options, ops, LoadListener.SILENT);
    }

    /** What goes on with weights while a body runs. */
    @FunctionalInterface
    interface Body<T> {
        T run(TrainedWeights weights) throws IOException;
    }

    /** Runs {@code body} on fresh weights, and gives their memory back. */
    <T> T onFreshWeights(Ops ops, Body<T> body) throws IOException {
        if (full) {
            try (CausalLm model = model(ops, LoadOptions.fullFineTuning())) {
                return body.run(new TrainedWeights.OfModel(model));
            }
        }
        try (CausalLm model = model(ops, LoadOptions.defaults()); LoraAdapter adapter = LoraAdapter.create(model, lora(), 3)) {
            return body.run(new TrainedWeights.OfAdapter(adapter, null));
        }
    }

    /** Starts the run in {@code output} or goes on with it. */
    TrainResult go(Ops ops, Path output, TrainListener listener) throws IOException {
        return go(ops, output, listener, config -> config);
    }

    /** As {@link #go(Ops, Path, TrainListener)}, with another configuration. */
    TrainResult go(Ops ops, Path output, TrainListener listener, UnaryOperator<SftConfig> change) throws IOException {
        return onFreshWeights(ops, weights -> new SftTrainer(weights, rows(), heldOut(), change.apply(config()), output).train(listener));
    }

    String weightsFile() {
        return full ? "model.safetensors" : "adapter_model.safetensors";
    }

    /** Fails unless {@code output} holds the weights, moments and history of {@code expected}, and nothing besides what a finished run leaves. */
    void assertSame(Path expected, TrainResult expectedResult, Path output, TrainResult result) throws IOException {
        assertEquals(history(expectedResult), history(result), "history");
        Path checkpoint = output.resolve("checkpoint-" + STEPS), expectedCheckpoint = expected.resolve("checkpoint-" + STEPS);
        assertArrayEquals(Files.readAllBytes(expected.resolve(weightsFile())), Files.readAllBytes(output.resolve(weightsFile())), "weights");
        assertArrayEquals(Files.readAllBytes(expectedCheckpoint.resolve(weightsFile())), Files.readAllBytes(checkpoint.resolve(weightsFile())), "weights of the checkpoint");
        assertArrayEquals(Files.readAllBytes(expectedCheckpoint.resolve("optimizer.safetensors")), Files.readAllBytes(checkpoint.resolve("optimizer.safetensors")), "moments");
        assertEquals(names(expected), names(output), "files in the output folder");
        assertEquals(names(expectedCheckpoint), names(checkpoint), "files in the checkpoint");
    }

    static List<String> names(Path folder) throws IOException {
        try (Stream<Path> children = Files.list(folder)) {
            return children.map(child -> child.getFileName().toString()).sorted().toList();
        }
    }

    /** All that a run reported, without what depends on the machine: seconds and bytes. */
    static String history(TrainResult result) {
        StringBuilder history = new StringBuilder();
        for (TrainEvent.StepEnd step : result.steps()) {
            history.append(step.step()).append(' ').append(step.epoch()).append(' ').append(step.loss()).append(' ').append(step.gradNorm()).append(' ')
                    .append(step.learningRate()).append(' ').append(step.tokens()).append('\n');
        }
        result.evaluations().forEach(evaluation -> history.append(evaluation).append('\n'));
        return history.append(result.interrupted()).toString();
    }
}
