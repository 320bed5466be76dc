package jqlora.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.lang.reflect.Proxy;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Locale;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import jqlora.Distance;
import jqlora.Oracle;
import jqlora.PaddedBatch;
import jqlora.RoundedTraining;
import jqlora.data.BatchPlan;
import jqlora.data.TokenizedRow;
import jqlora.format.SafetensorsFile;
import jqlora.lora.LoraAdapter;
import jqlora.ops.Ops;
import jqlora.ops.Parameter;
import jqlora.ops.Repetition;
import jqlora.ops.Sampler;
import jqlora.ops.cpu.CpuOps;
import jqlora.ops.cuda.CudaOps;
import jqlora.ops.cuda.Gpu;
import jqlora.quant.FourBitFormat;
import jqlora.quant.FourBitType;
import jqlora.tensor.DType;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;
import jqlora.train.BatchConfig;
import jqlora.train.LearningRate;
import jqlora.train.OptimizerConfig;
import jqlora.train.SftConfig;
import jqlora.train.SftTrainer;
import jqlora.train.TrainListener;
import jqlora.train.TrainResult;
import jqlora.train.TrainedWeights;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Whole models on a GPU in bfloat16 against transformers and PEFT in float32: the distance of two tensors as a share of the second one's length. */
@Tag("gpu")
class CudaModelTest {
    /** A bfloat16 rounding is 2^-9; some twenty of them follow each other in two layers, forward and backward. */
    private static final double VALUES = 0.02, GRADIENTS = 0.04;
    private static final int PRODUCTS_OF_A_LAYER = 7;
    /**
     * Where scores are not scaled, one rounding moves a gradient further. How far is measured in float32 with weights rounded to bfloat16: of a product weight,
     * input, result and the gradients of each are rounded, some nine roundings of which the weight's is one, and they add up as a root.
     */
    private static final double ROUNDINGS = 3;
    /** A gradient that is so small a part of another one is 0 but for the rounding of float32. */
    private static final double NOTHING = 1e-6;
    private static CudaOps ops;

    @BeforeAll
    static void open() {
        ops = CudaOps.open(Gpu.options());
    }

    @AfterAll
    static void close() {
        assertEquals(0, ops.memory().bytesInUse(), "bytes in use after all models and adapters are closed");
        ops.close();
    }

    private static void assertNear(String what, float[] actual, float[] expected, double tolerance) {
        assertEquals(expected.length, actual.length, what);
        double relative = Distance.of(actual, expected) / Math.max(Distance.length(expected), 1e-15);
        assertTrue(relative <= tolerance, () -> what + ": differs by " + relative + " of its length, at most " + tolerance + " is expected");
    }

    private static float[] logits(CausalLm model, PaddedBatch batch) {
        return logits(ops, model, batch);
    }

    private static float[] logits(CudaOps ops, CausalLm model, PaddedBatch batch) {
        try (Tensor logits = model.logits(batch.ids(), batch.sequences())) {
            return ops.download(logits).toFloats();
        }
    }

    /** How far each gradient moves, as a share of its length, when every weight is rounded to bfloat16 and nothing else. */
    private static Map<String, Double> movedByRoundedWeights(Path folder, PaddedBatch batch) throws IOException {
        Map<String, Double> moved = new HashMap<>();
        try (CpuOps cpu = CpuOps.create(); CausalLm model = ModelLoader.load(folder, LoadOptions.fullFineTuning(), cpu, LoadListener.SILENT); Tensor sum = cpu.zeros(DType.F64, 1)) {
            model.forwardBackward(batch.tokens(), 1, sum, 0, ActivationBudget.keepAll());
            Map<String, float[]> exact = new HashMap<>();
            for (Parameter parameter : model.parameters()) {
                exact.put(parameter.name(), cpu.download(parameter.gradient()).toFloats());
                float[] rounded = cpu.download(parameter.value()).toFloats();
                for (int i = 0; i < rounded.length; i++) {
                    rounded[i] = FloatConversion.round(rounded[i], DType.BF16);
                }
                try (Tensor value = cpu.upload(TensorView.ofFloats(rounded, parameter.value().shape().toArray()))) {
                    cpu.copyInto(parameter.value(), value);
                }
            }
            cpu.zeroGradients(model.parameters());
            model.forwardBackward(batch.tokens(), 1, sum, 0, ActivationBudget.keepAll());
            for (Parameter parameter : model.parameters()) {
                float[] before = exact.get(parameter.name());
                moved.put(parameter.name(), Distance.of(cpu.download(parameter.gradient()).toFloats(), before) / Math.max(Distance.length(before), 1e-15));
            }
        }
        return moved;
    }

    @ParameterizedTest
    @MethodSource("jqlora.model.FamiliesTest#families")
    void family(Path folder) throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve("case.safetensors"));
                CausalLm model = ModelLoader.load(folder, LoadOptions.fullFineTuning(), ops, LoadListener.SILENT); Tensor sum = ops.zeros(DType.F64, 1)) {
            PaddedBatch batch = PaddedBatch.of(file, "");
            assertNear("logits", logits(model, batch), batch.realRows(file.get("logits")), VALUES);
            int labelled = batch.tokens().labelledTokens();
            double expected = file.get("loss").toFloats()[0];
            assertEquals(expected, model.loss(batch.tokens()) / labelled, 2e-3 * expected, "loss");
            model.forwardBackward(batch.tokens(), 1.0 / labelled, sum, 0, ActivationBudget.keepAll());
            assertEquals(expected, ops.download(sum).data().get(TensorView.DOUBLE, 0) / labelled, 2e-3 * expected, "loss of the training step");
            List<float[]> kept = new ArrayList<>();
            Map<String, Double> moved = movedByRoundedWeights(folder, batch);
            double longest = 0;
            for (Parameter parameter : model.parameters()) {
                kept.add(ops.download(parameter.gradient()).toFloats());
                if (FamiliesTest.isTrimmed(folder, file, parameter)) {
                    continue;
                }
                float[] exact = FamiliesTest.expected(model, file, parameter);
                longest = Math.max(longest, Distance.length(exact));
                if (Distance.length(exact) < NOTHING * longest) {        // a bias of keys without rotation: the softmax takes it off again
                    assertTrue(Distance.length(kept.getLast()) <= GRADIENTS * longest, parameter.name());
                } else {
                    assertNear(parameter.name(), kept.getLast(), exact, Math.max(GRADIENTS, ROUNDINGS * moved.get(parameter.name())));
                }
            }
            ops.zeroGradients(model.parameters());
            model.forwardBackward(batch.tokens(), 1.0 / labelled, sum, 0, ActivationBudget.recomputeAll());
            for (int i = 0; i < kept.size(); i++) {
                assertTrue(Arrays.equals(kept.get(i), ops.download(model.parameters().get(i).gradient()).toFloats()), model.parameters().get(i).name() + " computed again");
            }
        }
    }

    @ParameterizedTest
    @MethodSource("jqlora.model.FamiliesTest#families")
    void greedyContinuationThroughTheCache(Path folder) throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve("case.safetensors"));
                CausalLm model = ModelLoader.load(folder, LoadOptions.asStored(), ops, LoadListener.SILENT)) {
            int[] tokens = file.get("greedy_tokens").toInts(), prompt = file.get("greedy_prompt").toInts();
            try (var cache = model.newCache(1, tokens.length)) {
                int past = 0;
                float[] all;
                try (Tensor logits = model.logits(Arrays.copyOf(tokens, tokens.length - 1), jqlora.ops.Sequences.ofLengths(tokens.length - 1))) {
                    all = ops.download(logits).toFloats();
                }
                int vocab = model.spec().vocabSize();
                for (int fed = prompt.length; past + fed < tokens.length; fed = 1) {
                    float[] scores = model.decode(Arrays.copyOfRange(tokens, past, past + fed), jqlora.ops.Sequences.continuing(new int[] {fed}, new int[] {past}), cache)[0];
                    past += fed;
                    // both are rounded, each in its own way, since few rows take the weights as they are stored, many in bfloat16: each may be off by so much
                    assertNear("scores after " + past, scores, Arrays.copyOfRange(all, (past - 1) * vocab, past * vocab), 2 * VALUES);
                }
            }
        }
    }

    /** The tokens of transformers, up to a place where two scores are equal within the tolerance; as a graph and step by step the same ones. */
    @ParameterizedTest
    @MethodSource("jqlora.model.FamiliesTest#families")
    void continuation(Path folder) throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve("case.safetensors"));
                CausalLm model = ModelLoader.load(folder, LoadOptions.asStored(), ops, LoadListener.SILENT);
                CausalLm plain = ModelLoader.load(folder, LoadOptions.asStored(), withoutGraphs(), LoadListener.SILENT);
                CausalLm quantized = ModelLoader.load(folder, LoadOptions.defaults(), ops, LoadListener.SILENT);
                CausalLm plainQuantized = ModelLoader.load(folder, LoadOptions.defaults(), withoutGraphs(), LoadListener.SILENT)) {
            int[] tokens = file.get("greedy_tokens").toInts(), prompt = file.get("greedy_prompt").toInts();
            int count = tokens.length - prompt.length, vocab = model.spec().vocabSize();
            int[] made = made(model, prompt, count, new Sampler.Greedy());
            for (int i = 0; i < count; i++) {
                if (made[i] != tokens[prompt.length + i]) {
                    float[] scores;
                    try (Tensor logits = model.logits(Arrays.copyOf(tokens, prompt.length + i), jqlora.ops.Sequences.ofLengths(prompt.length + i))) {
                        scores = ops.download(logits).toFloats();
                    }
                    int from = (prompt.length + i - 1) * vocab, at = i;
                    float expected = scores[from + tokens[prompt.length + i]], chosen = scores[from + made[i]];
                    assertTrue(Math.abs(expected - chosen) <= VALUES * Math.abs(expected), () -> "token " + at + " is " + made[at] + " with score " + chosen + ", not " + tokens[prompt.length + at] + " with " + expected);
                    break;
                }
            }
            for (Sampler sampler : List.of(new Sampler.Greedy(), new Sampler.Random(1, 0, 1), new Sampler.Random(0.7, 20, 0.9))) {
                assertArrayEquals(made(plain, prompt, 24, sampler), made(model, prompt, 24, sampler), "with and without a graph");
                assertArrayEquals(made(plainQuantized, prompt, 24, sampler), made(quantized, prompt, 24, sampler), "4 bits, with and without a graph");
            }
        }
    }

    private static int[] made(CausalLm model, int[] prompt, int count, Sampler sampler) {
        int[] made = new int[count];
        try (Continuation continuation = model.continuation(prompt, count, sampler, new java.util.Random(5))) {
            Arrays.setAll(made, i -> continuation.next());
        }
        return made;
    }

    /** The same backend, on which a repetition is done step by step. */
    private static Ops withoutGraphs() {
        return (Ops) Proxy.newProxyInstance(Ops.class.getClassLoader(), new Class<?>[] {Ops.class}, (proxy, method, arguments) -> method.getName().equals("repeat")
                ? Repetition.whenAsked(ops, (int) arguments[0], (Tensor) arguments[1], (Runnable) arguments[2]) : method.invoke(ops, arguments));
    }

    static Stream<Path> adapters() {
        return Stream.of("qv", "q_only", "v_only", "all_linear", "regex", "layers", "rslora").map(name -> Oracle.path("lora/" + name));
    }

    @ParameterizedTest
    @MethodSource("adapters")
    void adapter(Path folder) throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve("case.safetensors"));
                CausalLm model = ModelLoader.load(folder.resolve("base"), LoadOptions.asStored(), ops, LoadListener.SILENT);
                LoraAdapter adapter = LoraAdapter.load(model, folder.resolve("adapter"), true); Tensor sum = ops.zeros(DType.F64, 1)) {
            PaddedBatch batch = PaddedBatch.of(file, "");
            assertNear("logits", logits(model, batch), batch.realRows(file.get("logits")), VALUES);
            model.forwardBackward(batch.tokens(), 1.0 / batch.tokens().labelledTokens(), sum, 0, ActivationBudget.keepAll());
            for (Parameter parameter : adapter.parameters()) {
                assertNear(parameter.name(), ops.download(parameter.gradient()).toFloats(), file.get("grad." + parameter.name().replace(".weight", ".default.weight")).toFloats(), GRADIENTS);
            }
        }
    }

    static Stream<Path> histories() {
        return Oracle.list("qlora", "*").stream().filter(Files::isDirectory);
    }

    @ParameterizedTest
    @MethodSource("histories")
    void history(Path folder) throws IOException {
        assertHistory(ops, folder, RoundedTraining.BFLOAT16);
    }

    /** As {@link #history}, with products in FP8. A second run has the same bits. */
    @ParameterizedTest
    @MethodSource("histories")
    void historyInFp8(Path folder) throws IOException {
        try (CudaOps fp8 = Gpu.openFp8(false)) {
            float[] first = assertHistory(fp8, folder, RoundedTraining.E4M3), second = assertHistory(fp8, folder, RoundedTraining.E4M3);
            assertTrue(Arrays.equals(first, second), "the second run's logits");
        }
    }

    /** Trains as recorded. @param ofProduct see {@link RoundedTraining} @return the trained model's logits */
    private static float[] assertHistory(CudaOps ops, Path folder, double ofProduct) throws IOException {
        JsonObject history = Oracle.json(folder.resolve("history.json"));
        FourBitFormat format = FourBitFormat.defaults().withType(FourBitType.ofId(history.get("quant_type").getAsString()))
                .withDoubleQuantization(history.get("nested").getAsBoolean());
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve("case.safetensors"));
                CausalLm model = ModelLoader.load(folder.resolve("base"), LoadOptions.defaults().withQuantization(format), ops, LoadListener.SILENT);
                LoraAdapter adapter = LoraAdapter.load(model, folder.resolve("adapter_init"), true)) {
            PaddedBatch batch = PaddedBatch.of(file, "");
            float[] trained = batch.realRows(file.get("trained_logits"));
            double length = Distance.length(trained), distance = Distance.of(trained, batch.realRows(file.get("quantized_logits"))) / length;
            RoundedTraining bound = RoundedTraining.ofProducts(ofProduct, PRODUCTS_OF_A_LAYER * model.spec().numHiddenLayers());

            JsonArray expected = history.getAsJsonArray("history");
            int accumulation = history.get("accumulation").getAsInt();
            List<TokenizedRow> rows = new ArrayList<>();
            List<Integer> labelled = new ArrayList<>();
            for (int i = 0; i < expected.size() * accumulation; i++) {
                rows.addAll(PaddedBatch.rows(file, "batch" + i + "."));
                labelled.add(PaddedBatch.of(file, "batch" + i + ".").tokens().labelledTokens());
            }
            TrainResult result = train(adapter, rows, history);
            double strayed = 0;
            for (int i = 0; i < expected.size(); i++) {
                JsonObject step = expected.get(i).getAsJsonObject();
                double mean = StreamSupport.stream(step.getAsJsonArray("micro_losses").spliterator(), false).mapToDouble(JsonElement::getAsDouble).average().orElseThrow();
                int tokens = labelled.subList(i * accumulation, (i + 1) * accumulation).stream().mapToInt(n -> n).sum();
                double limit = bound.ofLoss(distance, length / Math.sqrt(trained.length), tokens);
                strayed = Math.max(strayed, Math.abs(mean - result.steps().get(i).loss()) / limit);
                assertEquals(mean, result.steps().get(i).loss(), limit, "loss of step " + (i + 1));
            }
            float[] logits = logits(ops, model, batch);
            System.out.printf(Locale.ROOT, "%s, %s: losses reach %.2f of their bound, trained logits are off by %.4f of their length, at most %.4f%n", folder.getFileName(), ops.description(),
                    strayed, Distance.of(logits, trained) / length, bound.ofTrainedLogits(distance));
            assertNear("logits of the trained model", logits, trained, bound.ofTrainedLogits(distance));
            return logits;
        }
    }

    private static TrainResult train(LoraAdapter adapter, List<TokenizedRow> rows, JsonObject history) throws IOException {
        BatchConfig batches = new BatchConfig(2, history.get("accumulation").getAsInt(), BatchPlan.Order.AS_GIVEN, BatchConfig.Normalization.LEGACY);
        SftConfig config = SftConfig.defaults().withNumTrainEpochs(1).withBatches(batches).withLearningRate(LearningRate.constant(history.get("lr").getAsDouble()))
                .withOptimizer(OptimizerConfig.defaults().withMaxGradNorm(history.get("clip").getAsDouble())).withActivations(ActivationBudget.recomputeAll());
        return new SftTrainer(new TrainedWeights.OfAdapter(adapter, null), rows, List.of(), config, null).train(TrainListener.SILENT);
    }
}
