package jqlora.ops;

import static jqlora.Assert.assertClose;
import static jqlora.Assert.assertFails;
import static jqlora.Assert.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import jqlora.quant.Absmax;
import jqlora.quant.FourBitFormat;
import jqlora.quant.FourBitType;
import jqlora.quant.PlainFourBitCodec;
import jqlora.quant.QuantizedTensor;
import jqlora.quant.StochasticRounding;
import jqlora.tensor.DType;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.Shape;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** A weight with an update in it, on every backend: the bytes that the definition gives. */
@ParameterizedClass
@MethodSource("jqlora.ops.TestOps#backends")
class MergeOpsTest {
    private static final String LAYER = "model.layers.0.mlp.up_proj";
    private static final int MODULE = 11;
    private final TestOps test;

    MergeOpsTest(TestOps test) {
        this.test = test;
    }

    @AfterEach
    void finish() throws Exception {
        test.finish();
    }

    record Case(WeightKind kind, int outs, int ins, int r) { }

    /** Every storage of the base with odd sizes, whole tiles, blocks that cross rows, ranks beyond what a kernel takes at once. */
    static Stream<Case> cases() {
        int[][] sizes = {{1, 1, 1}, {3, 5, 2}, {63, 65, 3}, {64, 128, 16}, {65, 132, 17}, {129, 127, 40}, {70, 516, 8}, {200, 192, 64}};
        List<Case> cases = new ArrayList<>();
        for (WeightKind kind : WeightKind.values()) {
            for (int[] size : sizes) {
                cases.add(new Case(kind, size[0], size[1], size[2]));
            }
        }
        return cases.stream();
    }

    private record Prepared(Weight base, LoraFactors factors, float[] sum) { }

    private Prepared prepare(Case given, double size) {
        Random random = new Random(given.kind.ordinal() * 1_000_000L + given.outs * 1000L + given.ins);
        WeightKind.Made made = given.kind.make(test, random, given.outs, given.ins);
        Matrix a = Matrix.random(random, given.r, given.ins).rounded(DType.F32), b = Matrix.random(random, given.outs, given.r).scaled(size).rounded(DType.F32);
        LoraFactors factors = new LoraFactors(test.frozen("lora_A", DType.F32, a, given.r, given.ins), test.frozen("lora_B", DType.F32, b, given.outs, given.r), 1.7f, 0, MODULE);
        float[] sum = made.value().toFloats(), delta = new float[given.ins];
        LoraDelta update = LoraDelta.of(test.ops(), factors);
        for (int row = 0; row < given.outs; row++) {
            update.row(row, delta);
            for (int i = 0; i < given.ins; i++) {
                double exact = 0;
                for (int k = 0; k < given.r; k++) {
                    exact += b.get(row, k) * a.get(k, i);
                }
                assertClose("update", delta[i], exact * 1.7f, 1e-5, 1e-4 * size);
                sum[row * given.ins + i] += delta[i];
            }
        }
        return new Prepared(made.weight(), factors, sum);
    }

    @ParameterizedTest
    @MethodSource("cases")
    void numbers(Case given) {
        Prepared prepared = prepare(given, 0.1);
        for (DType dtype : List.of(DType.F32, DType.BF16, DType.F16)) {
            test.poisonNext(given.outs, given.ins);
            Weight merged = test.keep(test.ops().merge(LAYER, prepared.base, prepared.factors, new MergedStorage.Numbers(dtype)));
            Parameter parameter = ((Weight.Dense) merged).parameter();
            assertEquals(LAYER + ".weight", parameter.name());
            assertEquals(dtype, parameter.value().dtype());
            assertEquals(Shape.of(given.outs, given.ins), parameter.value().shape());
            assertSameBits(dtype.name(), test.values(parameter.value()), rounded(prepared.sum, dtype));
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void fourBits(Case given) {
        Prepared prepared = prepare(given, 0.02);
        Shape shape = Shape.of(given.outs, given.ins);
        int i = 0;
        for (FourBitType type : FourBitType.values()) {
            for (int blockSize : new int[] {32, 64, 256, 512}) {
                FourBitFormat format = new FourBitFormat(type, blockSize, ++i % 2 == 0, List.of(DType.BF16, DType.F32, DType.F16).get(i % 3));
                QuantizedTensor nearest = new PlainFourBitCodec().quantize(view(rounded(prepared.sum, format.dtype()), shape), format, Arena.ofAuto());
                assertSame("nearest, " + format, nearest, merged(prepared, new MergedStorage.Nearest(format)));
                long seed = 0x123456789abcdefL * i;
                QuantizedTensor random = new StochasticRounding(seed, MODULE).quantize(view(prepared.sum, shape).data(), shape, format, Arena.ofAuto());
                assertSame("at random, " + format, random, merged(prepared, new MergedStorage.Stochastic(format, seed)));
            }
        }
    }

    private QuantizedTensor merged(Prepared prepared, MergedStorage storage) {
        return test.ops().download((Weight.FourBit) test.keep(test.ops().merge(LAYER, prepared.base, prepared.factors, storage)));
    }

    /** Blocks of zeros, whose scale double quantization does not restore as zero, next to blocks of very different sizes. */
    @Test
    void blocksOfZeros() {
        int outs = 9, ins = 640;
        float[] values = Matrix.random(new Random(5), outs, ins).toFloats();
        for (int i = 0; i < values.length; i++) {
            int block = i / 64;
            values[i] = block % 3 == 0 ? 0 : values[i] * (block % 3 == 1 ? 1e-3f : block % 5 == 0 ? 1e-41f : 10);
        }
        Parameter base = test.frozen("w", DType.F32, Matrix.of(outs, ins, values), outs, ins);
        LoraFactors factors = new LoraFactors(test.frozen("lora_A", DType.F32, Matrix.zeros(2, ins), 2, ins), test.frozen("lora_B", DType.F32, Matrix.zeros(outs, 2), outs, 2), 1, 0, MODULE);
        Shape shape = Shape.of(outs, ins);
        for (FourBitType type : FourBitType.values()) {
            for (boolean doubled : new boolean[] {false, true}) {
                FourBitFormat format = new FourBitFormat(type, 64, doubled, DType.F32);
                Prepared prepared = new Prepared(new Weight.Dense(base), factors, values);
                assertSame("nearest, " + format, new PlainFourBitCodec().quantize(view(values, shape), format, Arena.ofAuto()), merged(prepared, new MergedStorage.Nearest(format)));
                assertSame("at random, " + format, new StochasticRounding(3, MODULE).quantize(view(values, shape).data(), shape, format, Arena.ofAuto()),
                        merged(prepared, new MergedStorage.Stochastic(format, 3)));
            }
        }
    }

    @Test
    void theFirstNumberThatIsNotFinite() {
        int outs = 70, ins = 33;
        for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY}) {
            Matrix a = Matrix.filled(1, ins, 1), b = Matrix.filled(outs, 1, 0.5);
            float[] values = new float[outs * ins];
            values[5 * ins + 7] = bad;
            values[66 * ins + 2] = bad;
            LoraFactors factors = new LoraFactors(test.frozen("lora_A", DType.F32, a, 1, ins), test.frozen("lora_B", DType.F32, b, outs, 1), 1, 0, MODULE);
            Weight base = new Weight.Dense(Parameter.frozen("w", test.keep(test.ops().upload(TensorView.ofFloats(values, outs, ins)))));
            for (MergedStorage storage : List.of(new MergedStorage.Numbers(DType.BF16), new MergedStorage.Nearest(FourBitFormat.defaults()), new MergedStorage.Stochastic(FourBitFormat.defaults(), 1))) {
                assertFails(IllegalArgumentException.class, () -> test.ops().merge(LAYER, base, factors, storage),
                        "merge: element " + (5 * ins + 7) + " of " + LAYER + " would be " + bad + ", it must be finite");
            }
        }
    }

    private static TensorView view(float[] values, Shape shape) {
        return TensorView.ofFloats(values, shape.toArray());
    }

    private static float[] rounded(float[] values, DType dtype) {
        float[] rounded = values.clone();
        for (int i = 0; i < rounded.length; i++) {
            rounded[i] = FloatConversion.round(values[i], dtype);
        }
        return rounded;
    }

    private static byte[] bytes(MemorySegment segment) {
        return segment.toArray(ValueLayout.JAVA_BYTE);
    }

    private static void assertSame(String what, QuantizedTensor expected, QuantizedTensor actual) {
        assertEquals(expected.format(), actual.format(), what);
        assertEquals(expected.shape(), actual.shape(), what);
        switch (expected.absmax()) {
            case Absmax.Plain(var values) -> assertArrayEquals(bytes(values), bytes(((Absmax.Plain) actual.absmax()).values()), what + ": absmax");
            case Absmax.Nested nested -> {
                Absmax.Nested other = (Absmax.Nested) actual.absmax();
                assertEquals(nested.offset(), other.offset(), what + ": offset");
                assertArrayEquals(bytes(nested.scales()), bytes(other.scales()), what + ": nested absmax");
                assertArrayEquals(bytes(nested.codes()), bytes(other.codes()), what + ": absmax");
            }
        }
        assertArrayEquals(bytes(expected.codes()), bytes(actual.codes()), what + ": codes");
    }
}
