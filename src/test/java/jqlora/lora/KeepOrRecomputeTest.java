package jqlora.lora;

import static jqlora.Assert.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import jqlora.TinyModel;
import jqlora.model.ActivationBudget;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.ModelLoader;
import jqlora.model.TokenBatch;
import jqlora.ops.Ops;
import jqlora.ops.Parameter;
import jqlora.ops.Sequences;
import jqlora.ops.cpu.CpuOps;
import jqlora.ops.cuda.CudaOps;
import jqlora.ops.cuda.Gpu;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Activations of an adapter on a 4-bit base, with dropout: kept, computed again but for attention or wholly, moved to the host, or some of each, the
 * gradients have the same bits. On a GPU where one is asked for.
 */
class KeepOrRecomputeTest {
    private static final int TOKENS = 48;
    private static final int LAYERS = 4;
    private static final long DROPOUT_KEY = 77;

    private static Ops ops;

    @TempDir
    private static Path folder;

    @BeforeAll
    static void open() throws IOException {
        ops = Gpu.isWanted() ? CudaOps.open(Gpu.options()) : CpuOps.create();
        TinyModel.llama().with("num_hidden_layers", LAYERS).write(folder, DType.F32, 1, ops);
    }

    @AfterAll
    static void close() {
        assertEquals(0, ops.memory().bytesInUse(), "bytes in use after the model is closed");
        ops.close();
    }

    static Stream<LoraConfig> configs() {
        LoraConfig all = LoraConfig.defaults().withR(4).withLoraDropout(0.1f);
        return Stream.of(all, all.withTargetModules("q_proj"), all.withTargetModules("down_proj", "v_proj").withLimits(TargetLimits.none().withLayersToTransform(List.of(1))));
    }

    @ParameterizedTest
    @MethodSource("configs")
    void theSameBits(LoraConfig config) throws IOException {
        int[] ids = new Random(3).ints(TOKENS, 0, 199).toArray();
        TokenBatch batch = TokenBatch.of(ids, ids, Sequences.ofLengths(20, 5, TOKENS - 25));
        try (CausalLm model = ModelLoader.load(folder, LoadOptions.defaults(), ops, LoadListener.SILENT); LoraAdapter adapter = LoraAdapter.create(model, config, 3);
                Tensor sum = ops.zeros(DType.F64, 1)) {
            float[][] expected = gradients(model, adapter, batch, sum, ActivationBudget.keepAll());
            assertTrue(Arrays.stream(expected).anyMatch(KeepOrRecomputeTest::isNotZero), "some gradient");
            for (ActivationBudget.Place place : ActivationBudget.Place.values()) {
                for (ActivationBudget.Kept kept : ActivationBudget.Kept.values()) {
                    List<Long> peaks = new ArrayList<>();
                    long inputs = bytes(LAYERS * TOKENS * (kept == ActivationBudget.Kept.INPUT ? 68 : 140)), layer = bytes(31_000);  // somewhat more than what a layer keeps
                    for (long bytes : new long[] {0, inputs + layer, inputs + 2 * layer, inputs + 3 * layer, Long.MAX_VALUE}) {
                        ActivationBudget budget = new ActivationBudget(bytes, kept, place);
                        float[][] gradients = gradients(model, adapter, batch, sum, budget);
                        peaks.add(ops.memory().peakBytes());
                        for (int i = 0; i < gradients.length; i++) {
                            assertSameBits(adapter.parameters().get(i).name() + " under " + budget, gradients[i], expected[i]);
                        }
                    }
                    assertEquals(peaks.stream().sorted().toList(), peaks, "peaks, in the order of the budgets, with " + kept + " in " + place);
                    assertTrue(peaks.stream().distinct().count() >= 3, "some budgets lie between all and nothing: " + peaks);
                }
            }
        }
    }

    private static long bytes(long elements) {
        return elements * ops.computeType().bytes();
    }

    /** Gradients of one micro-batch; the peak is that of it. */
    private static float[][] gradients(CausalLm model, LoraAdapter adapter, TokenBatch batch, Tensor sum, ActivationBudget budget) {
        adapter.parameters().forEach(parameter -> ops.fillZero(parameter.gradient()));
        ops.resetPeak();
        model.forwardBackward(batch, 0.1, sum, DROPOUT_KEY, budget);
        return adapter.parameters().stream().map(Parameter::gradient).map(gradient -> ops.download(gradient).toFloats()).toArray(float[][]::new);
    }

    private static boolean isNotZero(float[] values) {
        for (float value : values) {
            if (value != 0) {
                return true;
            }
        }
        return false;
    }
}
