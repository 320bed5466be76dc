package jqlora.evaluate;

import static jqlora.Assert.assertClose;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import jqlora.Distance;
import jqlora.Oracle;
import jqlora.RoundedTraining;
import jqlora.data.BatchPlan;
import jqlora.data.TokenizedRow;
import jqlora.lora.LoraAdapter;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.ModelLoader;
import jqlora.ops.Sequences;
import jqlora.ops.cuda.CudaOps;
import jqlora.ops.cuda.Gpu;
import jqlora.quant.FourBitFormat;
import jqlora.tensor.Tensor;
import jqlora.train.BatchConfig;
import jqlora.train.HeldOutLoss;
import jqlora.train.LearningRate;
import jqlora.train.SftConfig;
import jqlora.train.SftTrainer;
import jqlora.train.TrainListener;
import jqlora.train.TrainResult;
import jqlora.train.TrainedWeights;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** A real model on real data on a GPU, against what the Python stack recorded in bfloat16; see {@link RealModelTest} for the folders. */
@Tag("gpu")
@Tag("model")
class RealModelCudaTest {
    private static final int PRODUCTS_OF_A_LAYER = 7, LAYERS = 30, ROWS_OF_LOGITS = 4;

    static Stream<Path> cases() {
        return RealModelTest.cases();
    }

    private static JsonObject recorded(Path folder, String arithmetic) {
        return RealModelTest.run(folder).getAsJsonObject("runs").getAsJsonObject(arithmetic);
    }

    private static CausalLm load(FourBitFormat format, CudaOps ops) throws IOException {
        return ModelLoader.load(RealModelTest.modelFolder(), LoadOptions.defaults().withQuantization(format), ops, LoadListener.SILENT);
    }

    private static double recordedLoss(Path folder, String name) {
        return recorded(folder, "bfloat16").getAsJsonObject(name).get("loss").getAsDouble();
    }

    private static double heldOut(CausalLm model, Path folder) throws IOException {
        return HeldOutLoss.of(model, RealModelTest.batches(folder, "eval")).loss();
    }

    private static double heldOut(CudaOps ops, Path folder, Path adapterFolder) throws IOException {
        try (CausalLm model = load(FourBitFormat.defaults(), ops); LoraAdapter adapter = LoraAdapter.load(model, adapterFolder, false)) {
            return heldOut(adapter.model(), folder);
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void lossOfEveryPrecision(Path folder) throws IOException {
        try (CudaOps ops = CudaOps.open(Gpu.options())) {
            for (String name : RealModelTest.PRECISIONS) {
                try (CausalLm model = load(RealModelTest.format(name), ops)) {
                    double loss = heldOut(model, folder);
                    System.out.printf(Locale.ROOT, "%s: held-out loss of %s %.4f, recorded %.4f%n", folder.getFileName(), name, loss, recordedLoss(folder, name));
                    // two runs in bfloat16, each rounded at its own places; the record's own float32 run is as far from its bfloat16 run
                    assertClose(folder.getFileName() + ": loss of " + name, loss, recordedLoss(folder, name), 0, 0.02);
                }
            }
        }
    }

    /**
     * The recorded training in bfloat16, twice with the same bits, and with products in FP8, whose adapter is then put on a model that computes in
     * bfloat16.
     */
    @ParameterizedTest
    @MethodSource("cases")
    void training(Path folder, @TempDir Path made) throws IOException {
        try (CudaOps ops = CudaOps.open(Gpu.options()); CudaOps fp8 = Gpu.openFp8(false)) {
            TrainResult result = train(ops, folder, made.resolve("bf16"));
            assertSteps(folder, "bfloat16", result, constant(0.05, result.steps().size()));
            assertClose(folder.getFileName() + ": losses of the steps, the record in bfloat16", losses(result), recordedLosses(folder, "bfloat16"), 0, 0.05);
            double tuned = heldOut(ops, folder, made.resolve("bf16"));
            System.out.printf(Locale.ROOT, "%s: held-out loss after training in bfloat16 %.4f, recorded %.4f%n", folder.getFileName(), tuned, recordedLoss(folder, "tuned"));
            assertClose("held-out loss after training", tuned, recordedLoss(folder, "tuned"), 0, 0.01);

            TrainResult again = train(ops, folder, made.resolve("again"));
            assertArrayEquals(losses(result), losses(again), "losses of the second run");
            assertEquals(tuned, heldOut(ops, folder, made.resolve("again")), "held-out loss of the second run");

            assertSteps(folder, "FP8", train(fp8, folder, made.resolve("fp8")), stepsInFp8(ops, fp8, folder, made.resolve("bf16")));
            double inFp8 = heldOut(fp8, folder, made.resolve("fp8")), onExact = heldOut(ops, folder, made.resolve("fp8"));
            System.out.printf(Locale.ROOT, "%s: held-out loss after training in FP8 %.4f, with that adapter in bfloat16 %.4f%n", folder.getFileName(), inFp8, onExact);
            assertClose("held-out loss after training in FP8, the adapter in bfloat16", onExact, tuned, 0, 0.02);
        }
    }

    private static TrainResult train(CudaOps ops, Path folder, Path saved) throws IOException {
        JsonArray history = recorded(folder, "bfloat16").getAsJsonArray("train");
        try (CausalLm model = load(FourBitFormat.defaults(), ops); LoraAdapter adapter = LoraAdapter.load(model, folder.resolve("adapter_init"), true)) {
            BatchConfig batches = new BatchConfig(RealModelTest.run(folder).get("batch").getAsInt(), 1, BatchPlan.Order.AS_GIVEN, BatchConfig.Normalization.TOKENS);
            SftConfig config = SftConfig.defaults().withBatches(batches).withLearningRate(LearningRate.constant(1e-3)).withMaxSteps(history.size());
            List<TokenizedRow> rows = RealModelTest.batches(folder, "train");
            TrainResult result = new SftTrainer(new TrainedWeights.OfAdapter(adapter, null), rows, List.of(), config, null).train(TrainListener.SILENT);
            adapter.save(saved, "model");
            return result;
        }
    }

    private static double[] losses(TrainResult result) {
        return result.steps().stream().mapToDouble(step -> step.loss()).toArray();
    }

    /** Against the record in float32, which both runs in bfloat16 stand for: the recorded one is up to 0.045 away from it. */
    private static void assertSteps(Path folder, String arithmetic, TrainResult result, double[] tolerances) {
        double[] exact = recordedLosses(folder, "float32"), rounded = recordedLosses(folder, "bfloat16"), losses = losses(result);
        assertEquals(exact.length, losses.length);
        double fromExact = 0, fromRounded = 0;
        for (int i = 0; i < losses.length; i++) {
            fromExact = Math.max(fromExact, Math.abs(losses[i] - exact[i]));
            fromRounded = Math.max(fromRounded, Math.abs(losses[i] - rounded[i]));
        }
        System.out.printf(Locale.ROOT, "%s, %s: the loss of a step differs by at most %.4f from the record in float32, %.4f from that in bfloat16%n", folder.getFileName(), arithmetic, fromExact, fromRounded);
        for (int i = 0; i < losses.length; i++) {
            assertClose(folder.getFileName() + ", " + arithmetic + ": loss of step " + (i + 1), losses[i], exact[i], 0, tolerances[i]);
        }
    }

    private static double[] constant(double value, int count) {
        return DoubleStream.generate(() -> value).limit(count).toArray();
    }

    /** How far each step's loss may stray with products in FP8: from one pass of the untrained model, how far the training moves it, and the step's labels. */
    private static double[] stepsInFp8(CudaOps ops, CudaOps fp8, Path folder, Path trained) throws IOException {
        List<TokenizedRow> few = RealModelTest.batches(folder, "eval").subList(0, ROWS_OF_LOGITS);
        float[] before = centred(ops, null, few), after = centred(ops, trained, few);
        double length = Distance.length(before), onePass = Distance.of(centred(fp8, null, few), before) / length;
        int products = PRODUCTS_OF_A_LAYER * LAYERS;
        assertClose("logits of one pass in FP8", onePass, 0, 0, RoundedTraining.ofProducts(RoundedTraining.E4M3, products).ofLogits());
        double distance = Distance.of(after, before) / length, rms = length / Math.sqrt(before.length);
        List<TokenizedRow> rows = RealModelTest.batches(folder, "train");
        int batch = RealModelTest.run(folder).get("batch").getAsInt();
        System.out.printf(Locale.ROOT, "%s: one pass in FP8 is off by %.4f, training moves the logits by %.4f, their root mean square is %.3f%n", folder.getFileName(), onePass, distance, rms);
        return IntStream.range(0, recordedLosses(folder, "float32").length).mapToDouble(step -> {
            int labelled = rows.subList(step * batch, (step + 1) * batch).stream().mapToInt(row -> row.ids().length - Math.max(1, row.labelledFrom())).sum();
            return new RoundedTraining(onePass).ofLoss(distance, rms, labelled);
        }).toArray();
    }

    /** Logits of {@code rows}, each position's mean taken out, which no loss depends on. @param adapterFolder may be null */
    private static float[] centred(CudaOps ops, Path adapterFolder, List<TokenizedRow> rows) throws IOException {
        try (CausalLm model = load(FourBitFormat.defaults(), ops); LoraAdapter adapter = adapterFolder == null ? null : LoraAdapter.load(model, adapterFolder, false)) {
            int[] ids = rows.stream().flatMapToInt(row -> IntStream.of(row.ids())).toArray(), lengths = rows.stream().mapToInt(row -> row.ids().length).toArray();
            try (Tensor logits = model.logits(ids, Sequences.ofLengths(lengths))) {
                float[] values = ops.download(logits).toFloats();
                int vocab = model.spec().vocabSize();
                for (int row = 0; row < ids.length; row++) {
                    double sum = 0;
                    for (int i = 0; i < vocab; i++) {
                        sum += values[row * vocab + i];
                    }
                    for (int i = 0; i < vocab; i++) {
                        values[row * vocab + i] -= (float) (sum / vocab);
                    }
                }
                return values;
            }
        }
    }

    private static double[] recordedLosses(Path folder, String arithmetic) {
        JsonArray history = recorded(folder, arithmetic).getAsJsonArray("train");
        return IntStream.range(0, history.size()).mapToDouble(i -> history.get(i).getAsJsonArray().get(0).getAsDouble()).toArray();
    }
}
