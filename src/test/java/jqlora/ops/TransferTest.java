package jqlora.ops;

import static jqlora.Assert.assertFails;
import static jqlora.Assert.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import jqlora.quant.Absmax;
import jqlora.quant.FourBitFormat;
import jqlora.quant.FourBitType;
import jqlora.quant.PlainFourBitCodec;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.DType;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Copies to, from and within a backend, and sums. */
@ParameterizedClass
@MethodSource("jqlora.ops.TestOps#backends")
class TransferTest {
    private final TestOps test;

    TransferTest(TestOps test) {
        this.test = test;
    }

    @AfterEach
    void finish() throws Exception {
        test.finish();
    }

    private static byte[] bytes(MemorySegment segment) {
        return segment.toArray(ValueLayout.JAVA_BYTE);
    }

    @ParameterizedTest
    @EnumSource(names = {"F32", "BF16", "F16", "F64", "I32", "I64", "U8", "BOOL"})
    void everyByteGoesThereAndBack(DType dtype) {
        for (long[] dims : new long[][] {{}, {1}, {0, 3}, {5, 7}, {3, 1, 2, 65}}) {
            byte[] data = new byte[Math.toIntExact(dtype.byteSize(Shape.of(dims).size()))];
            new Random(data.length).nextBytes(data);
            Tensor tensor = test.keep(test.ops().upload(new TensorView(dtype, Shape.of(dims), MemorySegment.ofArray(data))));
            assertEquals(dtype, tensor.dtype());
            assertEquals(Shape.of(dims), tensor.shape());
            assertEquals(data.length, tensor.byteSize());
            TensorView back = test.ops().download(tensor);
            assertEquals(Shape.of(dims), back.shape());
            assertArrayEquals(data, bytes(back.data()));
            Tensor copy = test.keep(test.ops().allocate(dtype, dims));
            test.ops().copyInto(copy, tensor);
            assertArrayEquals(data, bytes(test.ops().download(copy).data()));
            test.ops().fillZero(copy);
            assertArrayEquals(new byte[data.length], bytes(test.ops().download(copy).data()));
            assertArrayEquals(data, bytes(test.ops().download(tensor).data()), "a copy has memory of its own");
        }
    }

    /** What is moved to the host comes back with its bits, whatever is computed meanwhile in the memory that it leaves; also what is closed on the way. */
    @Test
    void toTheHostAndBack() {
        List<Tensor> tensors = new ArrayList<>();
        List<float[]> values = new ArrayList<>();
        for (int i = 0; i < 6; i++) {
            Matrix matrix = test.random(new Random(i), 301, 1 + 1000 * i);
            tensors.add(test.activation(matrix));
            values.add(matrix.toFloats());
        }
        for (int round = 0; round < 3; round++) {
            for (int i = 0; i < 6; i += 2) {
                test.ops().offload(tensors.subList(i, i + 2));
                Tensor other = test.ops().allocate(test.ops().computeType(), 301, 1000 * i + 1);
                test.ops().fillZero(other);
                other.close();
            }
            for (int i = 4; i >= 0; i -= 2) {
                test.ops().fetch(tensors.subList(i, i + 2));
                test.poisoned(test.ops().computeType(), 77, 77);
                assertSameBits("tensor " + i, test.values(tensors.get(i)), values.get(i));
                assertSameBits("tensor " + (i + 1), test.values(tensors.get(i + 1)), values.get(i + 1));
            }
        }
        test.ops().offload(tensors);
        test.ops().fetch(tensors.subList(0, 3));
        test.ops().fetch(tensors.subList(0, 5));
        assertSameBits("tensor 4", test.values(tensors.get(4)), values.get(4));
    }

    @Test
    void intsAndZeros() {
        int[] ids = {0, -1, Integer.MAX_VALUE, Integer.MIN_VALUE};
        Tensor tensor = test.ids(ids);
        assertEquals(DType.I32, tensor.dtype());
        assertArrayEquals(ids, test.ops().download(tensor).toInts());
        test.poisonNext(70_001);
        assertSameBits("zeros", test.values(test.keep(test.ops().zeros(DType.F32, 70_001))), new float[70_001]);
    }

    /** Several pieces, rows with room behind them, more than what a copy thread takes at once, and uploads between downloads. */
    @ParameterizedTest
    @CsvSource({"U8, 1, 40000001", "BF16, 3001, 3001", "BF16, 7001, 2500", "F32, 5000, 1001", "F32, 0, 3", "BF16, 0, 3", "U8, 1, 1"})
    void pieceByPiece(DType dtype, int rows, int columns) throws IOException {
        byte[] data = new byte[Math.toIntExact(dtype.byteSize((long) rows * columns))];
        new Random(rows).nextBytes(data);
        for (int round = 0; round < 2; round++) {
            Tensor tensor = test.keep(test.ops().upload(new TensorView(dtype, Shape.of(rows, columns), MemorySegment.ofArray(data))));
            byte[] back = new byte[data.length];
            int[] at = {0};
            test.ops().download(tensor, piece -> {
                assertEquals(0, piece.byteSize() % dtype.bytes(), "whole elements");
                MemorySegment.copy(piece, 0, MemorySegment.ofArray(back), at[0], piece.byteSize());
                at[0] += (int) piece.byteSize();
            });
            assertEquals(data.length, at[0]);
            assertArrayEquals(data, back);
            assertArrayEquals(data, bytes(test.ops().download(tensor).data()));
            try (Arena confined = Arena.ofConfined()) {
                MemorySegment own = confined.allocate(Math.max(1, data.length)).asSlice(0, data.length).copyFrom(MemorySegment.ofArray(data));
                Tensor again = test.keep(test.ops().upload(new TensorView(dtype, Shape.of(rows, columns), own)));
                assertArrayEquals(data, bytes(test.ops().download(again).data()), "memory of one thread");
            }
        }
        Tensor tensor = test.keep(test.ops().upload(new TensorView(dtype, Shape.of(rows, columns), MemorySegment.ofArray(data))));
        if (data.length > 0) {
            assertFails(IOException.class, () -> test.ops().download(tensor, piece -> {
                throw new IOException("full");
            }), "full");
        }
        assertArrayEquals(data, bytes(test.ops().download(tensor).data()), "after a sink that failed");
    }

    /** Numbers on thresholds and next to them, infinities, NaN and numbers below the normal range, in blocks of every size. */
    @ParameterizedTest
    @ValueSource(ints = {32, 64, 128, 256, 512, 4096})
    void quantizeAtTheThresholds(int blockSize) {
        int out = 7, in = 1501;
        for (FourBitType type : FourBitType.values()) {
            for (DType dtype : new DType[] {DType.F32, DType.BF16, DType.F16}) {
                Random random = new Random(blockSize);
                float[] values = new float[out * in], thresholds = type.thresholds();
                for (int i = 0; i < values.length; i++) {
                    float threshold = thresholds[random.nextInt(thresholds.length)] * (random.nextBoolean() ? 1 : -1);
                    values[i] = switch (random.nextInt(4)) {
                        case 0 -> threshold;
                        case 1 -> Math.nextUp(threshold);
                        case 2 -> Math.nextDown(threshold);
                        default -> random.nextFloat() * 2 - 1;
                    };
                    int block = i / blockSize;
                    values[i] = i % blockSize == 0 ? 1 : block % 5 == 1 ? 0 : block % 5 == 2 ? values[i] * 1e-42f : values[i];
                }
                values[100] = Float.NaN;
                values[5000] = Float.NEGATIVE_INFINITY;
                FourBitFormat format = new FourBitFormat(type, blockSize, false, DType.F32);
                MemorySegment data = MemorySegment.ofArray(new byte[Math.toIntExact(dtype.byteSize(values.length))]);
                FloatConversion.fromFloats(values, 0, values.length, dtype, data, 0);
                TensorView host = new TensorView(dtype, Shape.of(out, in), data);
                QuantizedTensor expected = new PlainFourBitCodec().quantize(host, format, Arena.ofAuto());
                QuantizedTensor actual = test.ops().download(test.keep(test.ops().quantize(host, format)));
                assertArrayEquals(bytes(((Absmax.Plain) expected.absmax()).values()), bytes(((Absmax.Plain) actual.absmax()).values()), type + " " + dtype);
                assertArrayEquals(bytes(expected.codes()), bytes(actual.codes()), type + " " + dtype);
            }
        }
    }

    /** Sizes up to where the work is split between threads. */
    @ParameterizedTest
    @ValueSource(ints = {1, 17, 129, 140_001})
    void sumsAreRoundedOnce(int size) {
        Random random = new Random(size);
        Matrix x = test.random(random, 1, size), y = test.random(random, 1, size);
        float[] expected = x.plus(y).rounded(test.ops().computeType()).toFloats();
        Tensor xT = test.activation(x), yT = test.activation(y);
        test.ops().addInPlace(xT, yT);
        assertSameBits("addInPlace", test.values(xT), expected);
        assertSameBits("y", test.values(yT), y.toFloats());
    }

    @ParameterizedTest
    @CsvSource({"NF4, true, 5, 13", "NF4, false, 64, 64", "FP4, true, 129, 257", "FP4, false, 1, 1"})
    void aFourBitWeightGoesThereAndBack(FourBitType type, boolean doubleQuantization, int out, int in) {
        FourBitFormat format = new FourBitFormat(type, 64, doubleQuantization, DType.BF16);
        float[] values = Matrix.random(new Random(out), out, in).toFloats();
        QuantizedTensor quantized = new PlainFourBitCodec().quantize(TensorView.ofFloats(values, out, in), format, Arena.ofAuto());
        Weight.FourBit weight = test.keep(test.ops().upload(quantized));
        assertEquals(quantized.byteSize(), weight.byteSize());
        assertEquals(out, weight.outFeatures());
        assertEquals(in, weight.inFeatures());
        QuantizedTensor back = test.ops().download(weight);
        assertEquals(quantized.format(), back.format());
        assertEquals(quantized.shape(), back.shape());
        assertArrayEquals(bytes(quantized.codes()), bytes(back.codes()));
        for (int block = 0; block < format.blocks((long) out * in); block++) {
            assertEquals(quantized.absmax().get(block), back.absmax().get(block));
        }
        if (quantized.absmax() instanceof Absmax.Nested nested) {
            Absmax.Nested other = (Absmax.Nested) back.absmax();
            assertArrayEquals(bytes(nested.codes()), bytes(other.codes()));
            assertArrayEquals(bytes(nested.scales()), bytes(other.scales()));
            assertEquals(nested.offset(), other.offset());
        }
    }

    /** The codes of the plain codec, byte for byte. */
    @ParameterizedTest
    @CsvSource({"NF4, true, F32, 5, 13", "NF4, true, BF16, 64, 640", "NF4, false, F16, 64, 64", "FP4, true, F32, 129, 257", "FP4, false, BF16, 1, 1", "NF4, true, BF16, 1024, 4096"})
    void quantize(FourBitType type, boolean doubleQuantization, DType dtype, int out, int in) {
        FourBitFormat format = new FourBitFormat(type, 64, doubleQuantization, dtype);
        float[] values = Matrix.random(new Random(out), out, in).toFloats();
        MemorySegment data = MemorySegment.ofArray(new byte[Math.toIntExact(dtype.byteSize(values.length))]);
        FloatConversion.fromFloats(values, 0, values.length, dtype, data, 0);
        TensorView host = new TensorView(dtype, Shape.of(out, in), data);
        QuantizedTensor expected = new PlainFourBitCodec().quantize(host, format, Arena.ofAuto());
        QuantizedTensor actual = test.ops().download(test.keep(test.ops().quantize(host, format)));
        assertArrayEquals(bytes(expected.codes()), bytes(actual.codes()));
        for (int block = 0; block < format.blocks(values.length); block++) {
            assertEquals(expected.absmax().get(block), actual.absmax().get(block), "absmax of block " + block);
        }
    }

    @Test
    void zeroGradients() {
        Parameter first = test.trained("a", Matrix.filled(1, 70_000, 3), Matrix.filled(1, 70_000, 2), 70_000), second = test.trained("b", Matrix.row(1), Matrix.row(5), 1);
        test.ops().zeroGradients(java.util.List.of(first, second));
        assertSameBits("first", test.values(first.gradient()), new float[70_000]);
        assertSameBits("second", test.values(second.gradient()), new float[1]);
        assertSameBits("value", test.values(second.value()), new float[] {1});
    }

    @ParameterizedTest
    @EnumSource
    void aWeightAsFloats(WeightKind kind) {
        for (int[] size : new int[][] {{1, 1}, {3, 5}, {129, 65}, {130, 1100}}) {
            WeightKind.Made made = kind.make(test, new Random(1), size[0], size[1]);
            test.poisonNext(size[0], size[1]);
            Tensor floats = test.keep(test.ops().toFloat(made.weight()));
            assertEquals(Shape.of(size[0], size[1]), floats.shape());
            assertSameBits("floats", test.values(floats), made.value().toFloats());
        }
    }
}
