package jqlora.lora;

import static jqlora.Assert.assertFails;
import static jqlora.Assert.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import jqlora.TinyModel;
import jqlora.format.Checkpoint;
import jqlora.format.SafetensorsException;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.ModelLoader;
import jqlora.ops.LoraDelta;
import jqlora.ops.Parameter;
import jqlora.ops.Sequences;
import jqlora.ops.Weight;
import jqlora.ops.cpu.CpuOps;
import jqlora.quant.Absmax;
import jqlora.quant.FourBitFormat;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Merges by every route: the same bytes each time, undone to the very bytes, and what each is when the update is zero. */
class MergeTest {
    private static final String Q = "model.layers.0.self_attn.q_proj";
    private static final FourBitFormat SINGLE = FourBitFormat.defaults().withDoubleQuantization(false);

    private static CpuOps ops;

    @TempDir
    private static Path folder;

    @BeforeAll
    static void open() throws IOException {
        ops = CpuOps.create();
        TinyModel.llama().write(folder.resolve("bf16"), DType.BF16, 1, ops);
        TinyModel.llama().with("intermediate_size", 96).write(folder.resolve("other"), DType.BF16, 1, ops);
    }

    @AfterAll
    static void close() {
        assertEquals(0, ops.memory().bytesInUse(), "bytes in use after all models and adapters are closed");
        ops.close();
    }

    private static CausalLm model(FourBitFormat format) throws IOException {
        return ModelLoader.load(folder.resolve("bf16"), LoadOptions.asStored().withQuantization(format), ops, LoadListener.SILENT);
    }

    /** An adapter on two kinds of layers, its B of the given size. */
    private static LoraAdapter adapter(CausalLm model, double size) {
        LoraAdapter adapter = LoraAdapter.create(model, LoraConfig.defaults().withR(3).withTargetModules("q_proj", "down_proj"), 5);
        Random random = new Random(6);
        adapter.factors().values().forEach(factors -> {
            Tensor b = factors.b().value();
            float[] values = new float[(int) b.shape().size()];
            for (int i = 0; i < values.length; i++) {
                values[i] = (float) (size * random.nextGaussian());
            }
            try (Tensor uploaded = ops.upload(TensorView.ofFloats(values, b.shape().toArray()))) {
                ops.copyInto(b, uploaded);
            }
        });
        return adapter;
    }

    private static byte[] bytes(Weight weight) {
        return switch (weight) {
            case Weight.Dense(Parameter parameter) -> ops.download(parameter.value()).data().toArray(ValueLayout.JAVA_BYTE);
            case Weight.FourBit fourBit -> {
                QuantizedTensor tensor = ops.download(fourBit);
                byte[] codes = tensor.codes().toArray(ValueLayout.JAVA_BYTE);
                byte[] scales = switch (tensor.absmax()) {
                    case Absmax.Plain(var values) -> values.toArray(ValueLayout.JAVA_BYTE);
                    case Absmax.Nested nested -> nested.codes().toArray(ValueLayout.JAVA_BYTE);
                };
                byte[] all = Arrays.copyOf(codes, codes.length + scales.length);
                System.arraycopy(scales, 0, all, codes.length, scales.length);
                yield all;
            }
        };
    }

    private static float[] logits(CausalLm model) {
        try (Tensor logits = model.logits(new int[] {3, 14, 15, 92, 65}, Sequences.ofLengths(5))) {
            return ops.download(logits).toFloats();
        }
    }

    private static float[] floats(Weight weight) {
        try (Tensor floats = ops.toFloat(weight)) {
            return ops.download(floats).toFloats();
        }
    }

    /** On fresh models each time; the weights as they were and the logits come back bit for bit. */
    @ParameterizedTest
    @EnumSource
    void theSameBytesEachTimeAndUndoneExactly(MergeRoute route) throws IOException {
        byte[][] first = null;
        for (int round = 0; round < 2; round++) {
            try (Checkpoint original = Checkpoint.open(folder.resolve("bf16")); CausalLm model = model(FourBitFormat.defaults()); LoraAdapter adapter = adapter(model, 0.1)) {
                float[] before = logits(model);
                byte[] base = bytes(model.linear(Q).weight());
                Weight baseWeight = model.linear(Q).weight();
                try (Merger.Merged merged = Merger.withOriginal(original).merge(adapter, route)) {
                    assertFalse(adapter.isAttached(), "the adapter is in the weights now");
                    assertEquals(route.isToFourBit(), model.linear(Q).weight() instanceof Weight.FourBit);
                    assertEquals(baseWeight, merged.before(Q));
                    assertNull(merged.before("model.layers.0.self_attn.k_proj"), "what the merge did not touch");
                    byte[][] now = adapter.factors().keySet().stream().map(module -> bytes(model.linear(module).weight())).toArray(byte[][]::new);
                    if (first != null) {
                        assertArrayEquals(first, now, "bytes of a second merge");
                    }
                    first = now;
                    merged.unmerge();
                    assertNull(merged.before(Q));
                }
                assertTrue(adapter.isAttached());
                assertArrayEquals(base, bytes(model.linear(Q).weight()), "the base's bytes");
                assertSameBits("logits", logits(model), before);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"F32", "BF16"})
    void onADenseBase(String dtype) throws IOException {
        LoadOptions options = LoadOptions.asStored().withDtype(DType.valueOf(dtype));
        try (CausalLm model = ModelLoader.load(folder.resolve("bf16"), options, ops, LoadListener.SILENT); LoraAdapter adapter = adapter(model, 0.1)) {
            Merger merger = Merger.withoutOriginal();
            assertEquals(MergeRoute.ONTO_BASE, merger.defaultRoute(adapter));
            float[] before = logits(model), weights = floats(model.linear(Q).weight());
            byte[] base = bytes(model.linear(Q).weight());
            try (Merger.Merged merged = merger.merge(adapter, MergeRoute.ONTO_BASE)) {
                float[] delta = new float[64], now = floats(model.linear(Q).weight());
                LoraDelta update = LoraDelta.of(ops, adapter.factors().get(Q));
                for (int row = 0; row < 64; row++) {
                    update.row(row, delta);
                    for (int i = 0; i < 64; i++) {
                        // stored in BF16, 8 bits of fraction
                        assertEquals(weights[64 * row + i] + delta[i], now[64 * row + i], Math.abs(now[64 * row + i]) * 0x1p-8, "row " + row + ", column " + i);
                    }
                }
                merged.unmerge();
            }
            assertArrayEquals(base, bytes(model.linear(Q).weight()));
            assertSameBits("logits", logits(model), before);
        }
    }

    /** With B zero a merge is storing again: the original's numbers, and the very codes of the base. */
    @Test
    void anUpdateOfZero() throws IOException {
        for (MergeRoute route : List.of(MergeRoute.ORIGINAL_TO_4BIT, MergeRoute.PEFT_4BIT, MergeRoute.ONTO_BASE, MergeRoute.ONTO_ORIGINAL)) {
            try (Checkpoint original = Checkpoint.open(folder.resolve("bf16")); CausalLm model = model(SINGLE); LoraAdapter adapter = adapter(model, 0)) {
                byte[] base = bytes(model.linear(Q).weight());
                float[] decoded = floats(model.linear(Q).weight());
                Merger.withOriginal(original).merge(adapter, route).close();
                switch (route) {
                    case ONTO_BASE -> assertSameBits(route.name(), floats(model.linear(Q).weight()), decoded);
                    case ONTO_ORIGINAL -> assertSameBits(route.name(), floats(model.linear(Q).weight()), original.get(Q + ".weight").toFloats());
                    default -> assertArrayEquals(base, bytes(model.linear(Q).weight()), route.name());
                }
            }
        }
    }

    @Test
    void defaultRoutesOfA4BitBaseAndSeeds() throws IOException {
        byte[][] merged = new byte[3][];
        for (int i = 0; i < 3; i++) {
            try (Checkpoint original = Checkpoint.open(folder.resolve("bf16")); CausalLm model = model(FourBitFormat.defaults()); LoraAdapter adapter = adapter(model, 0.01)) {
                assertEquals(MergeRoute.ORIGINAL_TO_4BIT, Merger.withOriginal(original).defaultRoute(adapter));
                assertEquals(MergeRoute.STOCHASTIC_4BIT, Merger.withoutOriginal().defaultRoute(adapter));
                Merger.withoutOriginal().withSeed(i / 2).merge(adapter, MergeRoute.STOCHASTIC_4BIT).close();
                merged[i] = bytes(model.linear(Q).weight());
            }
        }
        assertArrayEquals(merged[0], merged[1], "the same seed");
        assertFalse(Arrays.equals(merged[0], merged[2]), "another seed");
    }

    // ---- errors

    @Test
    void mergesThatCannotBe() throws IOException {
        try (CausalLm model = model(null); LoraAdapter adapter = adapter(model, 0.1)) {
            Merger merger = Merger.withoutOriginal();
            for (MergeRoute route : List.of(MergeRoute.STOCHASTIC_4BIT, MergeRoute.PEFT_4BIT)) {
                assertFails(IllegalArgumentException.class, () -> merger.merge(adapter, route), "merge: " + Q + " is not in 4 bits; " + route + " fits a 4-bit base only, take ONTO_BASE");
            }
            for (MergeRoute route : List.of(MergeRoute.ONTO_ORIGINAL, MergeRoute.ORIGINAL_TO_4BIT)) {
                assertFails(IllegalArgumentException.class, () -> merger.merge(adapter, route), "merge: " + route + " needs the original checkpoint");
            }
            adapter.detach();
            assertFails(IllegalArgumentException.class, () -> merger.merge(adapter, MergeRoute.ONTO_BASE), "merge: the adapter is not in force");
        }
    }

    /** A failed merge leaves model, adapter and memory as they were. */
    @Test
    void anOriginalOfAnotherModelAndNumbersThatAreNotFinite() throws IOException {
        try (Checkpoint other = Checkpoint.open(folder.resolve("other")); CausalLm model = model(FourBitFormat.defaults()); LoraAdapter adapter = adapter(model, 0.1)) {
            float[] before = logits(model);
            long bytes = ops.memory().bytesInUse();
            assertFails(SafetensorsException.class, () -> Merger.withOriginal(other).merge(adapter, MergeRoute.ORIGINAL_TO_4BIT),
                    "\"model.layers.0.mlp.down_proj.weight\"", "is BF16 [64, 96], for a merge it must be F32, BF16 or F16 [64, 112]");
            assertEquals(bytes, ops.memory().bytesInUse(), "bytes in use after a merge that failed");
            assertTrue(adapter.isAttached());
            assertSameBits("logits", logits(model), before);
            try (Tensor infinite = ops.upload(TensorView.ofFloats(infinities(64 * 3), 64, 3))) {
                ops.copyInto(adapter.factors().get(Q).b().value(), infinite);
            }
            assertFails(IllegalArgumentException.class, () -> Merger.withoutOriginal().merge(adapter, MergeRoute.ONTO_BASE), "merge: element 0 of " + Q + " would be ", "it must be finite");
        }
    }

    private static float[] infinities(int count) {
        float[] values = new float[count];
        Arrays.fill(values, Float.POSITIVE_INFINITY);
        return values;
    }
}
