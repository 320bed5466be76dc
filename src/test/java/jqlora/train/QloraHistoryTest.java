package jqlora.train;

import static jqlora.Assert.assertClose;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import jqlora.Oracle;
import jqlora.PaddedBatch;
import jqlora.data.BatchPlan;
import jqlora.data.TokenizedRow;
import jqlora.format.SafetensorsFile;
import jqlora.lora.LoraAdapter;
import jqlora.lora.MergeRoute;
import jqlora.lora.Merger;
import jqlora.model.ActivationBudget;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.ModelLoader;
import jqlora.ops.Parameter;
import jqlora.ops.Weight;
import jqlora.ops.cpu.CpuOps;
import jqlora.quant.FourBitFormat;
import jqlora.quant.FourBitType;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.Tensor;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** QLoRA against the Python stack: the quantized model, a training history, the trained adapter, PEFT's merge into 4 bits. */
class QloraHistoryTest {
    private static CpuOps ops;

    @BeforeAll
    static void open() {
        ops = CpuOps.create();
    }

    @AfterAll
    static void close() {
        assertEquals(0, ops.memory().bytesInUse(), "bytes in use after all models and adapters are closed");
        ops.close();
    }

    static Stream<Path> cases() {
        return Oracle.list("qlora", "*").stream().filter(Files::isDirectory);
    }

    private static CausalLm quantized(Path folder, JsonObject history) throws IOException {
        FourBitFormat format = FourBitFormat.defaults().withType(FourBitType.ofId(history.get("quant_type").getAsString())).withDoubleQuantization(history.get("nested").getAsBoolean());
        return ModelLoader.load(folder.resolve("base"), LoadOptions.defaults().withQuantization(format), ops, LoadListener.SILENT);
    }

    private static float[] logits(CausalLm model, PaddedBatch batch) {
        try (Tensor logits = model.logits(batch.ids(), batch.sequences())) {
            return ops.download(logits).toFloats();
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void historyFinalAdapterAndLogits(Path folder) throws IOException {
        JsonObject history = Oracle.json(folder.resolve("history.json"));
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve("case.safetensors")); CausalLm model = quantized(folder, history);
                SafetensorsFile last = SafetensorsFile.open(folder.resolve("adapter_final/adapter_model.safetensors"))) {
            PaddedBatch batch = PaddedBatch.of(file, "");
            assertClose("logits of the 4-bit model", logits(model, batch), batch.realRows(file.get("quantized_logits")), 1e-5, 1e-5);
            try (LoraAdapter adapter = LoraAdapter.load(model, folder.resolve("adapter_init"), true)) {
                JsonArray expected = history.getAsJsonArray("history");
                TrainResult result = new SftTrainer(new TrainedWeights.OfAdapter(adapter, null), rows(file, expected.size() * 2), List.of(), config(history), null).train(TrainListener.SILENT);
                assertEquals(expected.size(), result.steps().size());
                for (int i = 0; i < expected.size(); i++) {
                    JsonObject step = expected.get(i).getAsJsonObject();
                    double mean = StreamSupport.stream(step.getAsJsonArray("micro_losses").spliterator(), false).mapToDouble(loss -> loss.getAsDouble()).average().orElseThrow();
                    // float32 noise, which AdamW amplifies where a gradient is small: 4 more digits would not be reproducible by PyTorch on another device either
                    assertClose("loss of step " + (i + 1), result.steps().get(i).loss(), mean, 2e-5, 0);
                    assertClose("gradient norm of step " + (i + 1), result.steps().get(i).gradNorm(), step.get("grad_norm").getAsDouble(), 2e-4, 0);
                }
                for (Parameter parameter : adapter.parameters()) {
                    // AdamW moves each number by up to the learning rate, 5e-3, a step, whatever the gradient's size; 1e-3 of what 20 steps can move
                    assertClose(parameter.name(), ops.download(parameter.value()).toFloats(), last.get(parameter.name()).toFloats(), 1e-3, 1e-4);
                }
                assertClose("logits of the trained model", logits(model, batch), batch.realRows(file.get("trained_logits")), 1e-3, 1e-3);
            }
        }
    }

    private static SftConfig config(JsonObject history) {
        BatchConfig batches = new BatchConfig(2, history.get("accumulation").getAsInt(), BatchPlan.Order.AS_GIVEN, BatchConfig.Normalization.LEGACY);
        return SftConfig.defaults().withNumTrainEpochs(1).withBatches(batches).withLearningRate(LearningRate.constant(history.get("lr").getAsDouble()))
                .withOptimizer(OptimizerConfig.defaults().withMaxGradNorm(history.get("clip").getAsDouble())).withActivations(ActivationBudget.recomputeAll());
    }

    private static List<TokenizedRow> rows(SafetensorsFile file, int batches) throws IOException {
        List<TokenizedRow> rows = new ArrayList<>();
        for (int i = 0; i < batches; i++) {
            rows.addAll(PaddedBatch.rows(file, "batch" + i + "."));
        }
        return rows;
    }

    @ParameterizedTest
    @MethodSource("cases")
    void peftsMergeIntoFourBitsByteForByteAndExactUnmerge(Path folder) throws IOException {
        JsonObject history = Oracle.json(folder.resolve("history.json"));
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve("case.safetensors")); CausalLm model = quantized(folder, history);
                LoraAdapter adapter = LoraAdapter.load(model, folder.resolve("adapter_final"), false)) {
            PaddedBatch batch = PaddedBatch.of(file, "");
            float[] trained = logits(model, batch);
            assertClose("logits of the trained model", trained, batch.realRows(file.get("trained_logits")), 1e-5, 1e-5);
            List<QuantizedTensor> before = adapter.factors().keySet().stream().map(module -> ops.download((Weight.FourBit) model.linear(module).weight())).toList();
            try (Merger.Merged merged = Merger.withoutOriginal().merge(adapter, MergeRoute.PEFT_4BIT)) {
                int different = 0;
                for (String module : adapter.factors().keySet()) {
                    QuantizedTensor ours = ops.download((Weight.FourBit) model.linear(module).weight());
                    QuantizedTensor theirs = jqlora.format.BitsAndBytesState.read(file, "merged4bit." + module + ".weight");
                    assertEquals(theirs.format(), ours.format(), module);
                    different += differentNibbles(ours, theirs);
                }
                assertEquals(0, different, "codes that differ from PEFT's merge");
                assertClose("logits after PEFT's merge", logits(model, batch), batch.realRows(file.get("merged4bit_logits")), 1e-5, 1e-5);
                merged.unmerge();
            }
            List<QuantizedTensor> after = adapter.factors().keySet().stream().map(module -> ops.download((Weight.FourBit) model.linear(module).weight())).toList();
            for (int i = 0; i < before.size(); i++) {
                assertEquals(-1, before.get(i).codes().mismatch(after.get(i).codes()), "codes after the merge is undone");
            }
            assertTrue(Arrays.equals(trained, logits(model, batch)), "logits after the merge is undone");
        }
    }

    private static int differentNibbles(QuantizedTensor ours, QuantizedTensor theirs) {
        int different = 0;
        for (long i = 0; i < ours.codes().byteSize(); i++) {
            int a = ours.codes().get(java.lang.foreign.ValueLayout.JAVA_BYTE, i), b = theirs.codes().get(java.lang.foreign.ValueLayout.JAVA_BYTE, i);
            different += ((a ^ b) & 0xf0) != 0 ? 1 : 0;
            different += ((a ^ b) & 0x0f) != 0 ? 1 : 0;
        }
        return different;
    }
}
