package jqlora.quant;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.fail;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import jqlora.tensor.DType;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.Shape;
import jqlora.tensor.ShapeException;
import jqlora.tensor.TensorView;
import jqlora.tensor.Workers;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** What holds for every input: both codecs give the same bytes, a value takes the nearest code, and a value of a code keeps it. */
class CodecsTest {
    private static final FourBitCodec PLAIN = new PlainFourBitCodec();
    private static final float[] HOSTILE = {0f, -0f, Float.NaN, Float.intBitsToFloat(0xffc00001), Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY, Float.MAX_VALUE,
            -Float.MAX_VALUE, Float.MIN_VALUE, -Float.MIN_VALUE, Float.MIN_NORMAL, -Float.MIN_NORMAL, Math.nextDown(Float.MIN_NORMAL), 0x1p126f, -0x1.000002p126f, 0x1p127f, 1e-30f, 1f, -1f};

    private static Workers workers;
    private static FourBitCodec fast;

    @BeforeAll
    static void open() {
        workers = new Workers(2);
        fast = new VectorFourBitCodec(workers);
    }

    @AfterAll
    static void close() {
        workers.close();
    }

    static Stream<FourBitFormat> formats() {
        List<FourBitFormat> formats = new ArrayList<>();
        for (FourBitType type : FourBitType.values()) {
            for (int blockSize = 32; blockSize <= 4096; blockSize *= 2) {
                for (boolean doubleQuantization : new boolean[] {false, true}) {
                    formats.add(new FourBitFormat(type, blockSize, doubleQuantization, DType.F32));
                }
            }
        }
        return formats.stream();
    }

    private static TensorView view(float[] values, DType dtype) {
        MemorySegment bytes = MemorySegment.ofArray(new byte[(int) dtype.byteSize(values.length)]);
        FloatConversion.fromFloats(values, 0, values.length, dtype, bytes, 0);
        return new TensorView(dtype, Shape.of(values.length), bytes);
    }

    private static float[] normal(int length, double scale, Random random) {
        float[] values = new float[length];
        for (int i = 0; i < length; i++) {
            values[i] = (float) (random.nextGaussian() * scale);
        }
        return values;
    }

    private static float[] decoded(FourBitCodec codec, QuantizedTensor tensor) {
        float[] values = new float[(int) tensor.shape().size()];
        codec.dequantize(tensor, 0, values.length, values, 0);
        return values;
    }

    // ---- both codecs

    private static void assertSameBytes(String what, float[] values, FourBitFormat format, DType dtype) {
        try (Arena arena = Arena.ofConfined()) {
            TensorView weight = view(values, dtype);
            QuantizedTensor expected = PLAIN.quantize(weight, format, arena), actual = fast.quantize(weight, format, arena);
            assertEquals(-1, actual.codes().mismatch(expected.codes()), () -> what + ": first byte of the codes that differs");
            for (long block = 0; block < format.blocks(values.length); block++) {
                if (!sameValue(expected.absmax().get(block), actual.absmax().get(block))) {
                    fail(what + ": absmax of block " + block + " is " + actual.absmax().get(block) + ", plain " + expected.absmax().get(block));
                }
            }
            assertSameDecoded(what, expected);
        }
    }

    private static void assertSameDecoded(String what, QuantizedTensor tensor) {
        float[] expected = decoded(PLAIN, tensor), actual = decoded(fast, tensor);
        for (int i = 0; i < expected.length; i++) {
            if (!sameValue(expected[i], actual[i])) {
                fail(what + ": element " + i + " is " + actual[i] + ", plain " + expected[i]);
            }
        }
    }

    /** The same bits, minus zero and all; a NaN is a NaN. */
    private static boolean sameValue(float expected, float actual) {
        return Float.floatToIntBits(expected) == Float.floatToIntBits(actual);
    }

    /** Every odd length below 1000, with each length another format, and with each format every dtype. */
    @Test
    void theSameBytesForEveryOddLength() {
        Random random = new Random(2);
        DType[] dtypes = {DType.F32, DType.BF16, DType.F16};
        List<FourBitFormat> formats = formats().toList();
        for (int length = 1; length < 1000; length += 2) {
            for (int i = 0; i < 5; i++) {
                FourBitFormat format = formats.get((length / 2 + 7 * i) % formats.size());
                DType dtype = dtypes[(length / 64 + i) % 3];
                assertSameBytes(format + ", " + dtype + " [" + length + "]", normal(length, 0.02, random), format.withDtype(dtypes[i % 3]), dtype);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("formats")
    void theSameBytesForHostileValues(FourBitFormat format) {
        Random random = new Random(3);
        int length = 2 * format.blockSize() + 33;
        for (float hostile : HOSTILE) {
            float[] few = normal(length, 0.02, random), most = new float[length];
            Arrays.fill(most, hostile);
            for (int i = 0; i < 5; i++) {
                few[random.nextInt(length)] = hostile;
                most[random.nextInt(length)] = 0.02f;
            }
            assertSameBytes(format + ", a few " + hostile, few, format, DType.F32);
            assertSameBytes(format + ", most " + hostile, most, format, DType.F32);
        }
        for (int round = 0; round < 6; round++) {
            float[] anyBits = new float[length];
            for (int i = 0; i < length; i++) {
                anyBits[i] = round < 3 ? Float.intBitsToFloat(random.nextInt()) : HOSTILE[random.nextInt(HOSTILE.length)];
            }
            assertSameBytes(format + ", any bits, round " + round, anyBits, format, DType.F32);
        }
    }

    /** Values on a threshold, one unit in the last place below and above: where a rounding of its own would show. */
    @ParameterizedTest
    @EnumSource
    void theSameBytesAroundThresholds(FourBitType type) {
        FourBitFormat format = FourBitFormat.defaults().withType(type).withDoubleQuantization(false);
        Random random = new Random(4);
        for (int round = 0; round < 50; round++) {
            float absmax = (float) Math.exp(random.nextGaussian() * 3);
            float[] values = new float[64];
            values[0] = -absmax;
            for (int i = 1; i < 64; i++) {
                float[] thresholds = type.thresholds();
                float near = thresholds[random.nextInt(thresholds.length)] * absmax * (random.nextBoolean() ? 1 : -1);
                values[i] = Float.intBitsToFloat(Float.floatToRawIntBits(near) + random.nextInt(5) - 2);
            }
            assertSameBytes("absmax " + absmax, values, format, DType.F32);
        }
    }

    /** Large enough to be shared by threads, and not a multiple of anything. */
    @ParameterizedTest
    @EnumSource
    void theSameBytesWhenThreadsShareATensor(FourBitType type) {
        float[] values = normal(200_001, 0.02, new Random(5));
        FourBitFormat format = FourBitFormat.defaults().withType(type).withDtype(DType.BF16);
        try (Arena arena = Arena.ofShared()) {
            QuantizedTensor tensor = fast.quantize(view(values, DType.BF16), format, arena);
            assertEquals(-1, tensor.codes().mismatch(PLAIN.quantize(view(values, DType.BF16), format, arena).codes()), "codes");
            MemorySegment expected = arena.allocate(4L * values.length), actual = arena.allocate(4L * values.length);
            PLAIN.dequantize(tensor, expected);
            fast.dequantize(tensor, actual);
            assertEquals(-1, actual.mismatch(expected), "the whole tensor decoded");
        }
    }

    /** Any part of a tensor, from even and odd elements, across blocks; what lies around it in the array stays as it is. */
    @ParameterizedTest
    @MethodSource("formats")
    void anyPartDecodesAsTheWhole(FourBitFormat format) {
        Random random = new Random(6);
        int length = 3 * format.blockSize() + 17;
        try (Arena arena = Arena.ofConfined()) {
            for (DType dtype : List.of(DType.F32, DType.BF16, DType.F16)) {
                QuantizedTensor tensor = PLAIN.quantize(view(normal(length, 1, random), DType.F32), format.withDtype(dtype), arena);
                float[] whole = decoded(PLAIN, tensor);
                for (int round = 0; round < 10; round++) {
                    int first = random.nextInt(length), count = random.nextInt(length - first + 1), at = random.nextInt(4);
                    for (FourBitCodec codec : List.of(PLAIN, fast)) {
                        float[] out = new float[at + count + 3];
                        Arrays.fill(out, 77f);
                        codec.dequantize(tensor, first, count, out, at);
                        for (int i = 0; i < out.length; i++) {
                            float expected = i < at || i >= at + count ? 77f : whole[first + i - at];
                            if (!sameValue(expected, out[i])) {
                                fail(format + " " + dtype + ", " + count + " from " + first + ", " + codec.getClass().getSimpleName() + ": element " + i + " is " + out[i]);
                            }
                        }
                    }
                }
            }
        }
    }

    // ---- the code itself

    /** Nearest among the 16 values times absmax; the reciprocal and FP4's rounded thresholds move a threshold by less than 2^-21 of absmax. */
    @ParameterizedTest
    @MethodSource("formats")
    void everyValueTakesTheNearestCode(FourBitFormat format) {
        Random random = new Random(7);
        FourBitFormat single = format.withDoubleQuantization(false);
        for (double scale : new double[] {1e-30, 1e-3, 1, 1e30}) {
            float[] values = normal(2 * format.blockSize() + 5, scale, random);
            try (Arena arena = Arena.ofConfined()) {
                QuantizedTensor tensor = fast.quantize(view(values, DType.F32), single, arena);
                float[] decoded = decoded(fast, tensor);
                for (int i = 0; i < values.length; i++) {
                    double absmax = tensor.absmax().get(i / format.blockSize()), x = values[i];
                    double nearest = Double.POSITIVE_INFINITY;
                    for (int code = 0; code < 16; code++) {
                        nearest = Math.min(nearest, Math.abs(format.type().value(code) * absmax - x));
                    }
                    if (!(Math.abs(decoded[i] - x) <= nearest + 0x1p-21 * absmax)) {
                        fail(format + ": " + x + " became " + decoded[i] + " under absmax " + absmax);
                    }
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("formats")
    void absmaxIsTheLargestMagnitudeOfItsBlock(FourBitFormat format) {
        float[] values = normal(2 * format.blockSize() + 5, 1, new Random(8));
        values[3] = -9;
        values[format.blockSize()] = Float.NaN;
        values[format.blockSize() + 1] = 8;
        Arrays.fill(values, 2 * format.blockSize(), values.length, -Float.MIN_VALUE);
        try (Arena arena = Arena.ofConfined()) {
            Absmax absmax = fast.quantize(view(values, DType.F32), format.withDoubleQuantization(false), arena).absmax();
            assertEquals(List.of(9f, 8f, 0f), List.of(absmax.get(0), absmax.get(1), absmax.get(2)), "a NaN does not count, and what is below the normal range is zero");
        }
    }

    /** Decoded values are on the code, so they come to the same codes again; only FP4's minus zero, code 8, becomes the plus zero that it is equal to. */
    @ParameterizedTest
    @MethodSource("formats")
    void quantizingDecodedValuesGivesTheSameCodes(FourBitFormat format) {
        Random random = new Random(9);
        FourBitFormat single = format.withDoubleQuantization(false);
        for (double scale : new double[] {1e-30, 0.02, 1e30}) {
            float[] values = normal(3 * format.blockSize() + 1, scale, random);
            try (Arena arena = Arena.ofConfined()) {
                QuantizedTensor once = fast.quantize(view(values, DType.F32), single, arena);
                QuantizedTensor twice = fast.quantize(view(decoded(fast, once), DType.F32), single, arena);
                for (long i = 0; i < once.codes().byteSize(); i++) {
                    int expected = once.codes().get(TensorView.BYTE, i) & 0xff, actual = twice.codes().get(TensorView.BYTE, i) & 0xff;
                    if (format.type() == FourBitType.FP4) {
                        expected = (expected >> 4 == 8 ? 0 : expected & 0xf0) | ((expected & 15) == 8 ? 0 : expected & 15);
                    }
                    assertEquals(expected, actual, "byte " + i);
                }
                assertEquals(-1, ((Absmax.Plain) once.absmax()).values().mismatch(((Absmax.Plain) twice.absmax()).values()), "absmax");
            }
        }
    }

    /** bitsandbytes' rule for a block of zeros: 0 times infinity is no number, and that has code 0; the odd half byte holds the code of zero. */
    @Test
    void zerosAndTheHalfByteAtTheEnd() {
        for (FourBitCodec codec : List.of(PLAIN, fast)) {
            try (Arena arena = Arena.ofConfined()) {
                FourBitFormat nf4 = FourBitFormat.defaults().withDoubleQuantization(false);
                assertEquals(0x00, codec.quantize(view(new float[] {0, 0}, DType.F32), nf4, arena).codes().get(TensorView.BYTE, 0));
                assertEquals((byte) 0xf7, codec.quantize(view(new float[] {2}, DType.F32), nf4, arena).codes().get(TensorView.BYTE, 0));
                assertEquals((byte) 0x30, codec.quantize(view(new float[] {2}, DType.F32), nf4.withType(FourBitType.FP4), arena).codes().get(TensorView.BYTE, 0));
                assertEquals((byte) 0xb0, codec.quantize(view(new float[] {-2}, DType.F32), nf4.withType(FourBitType.FP4), arena).codes().get(TensorView.BYTE, 0));
            }
        }
    }

    // ---- errors

    @Test
    void anotherDtypeIsRefused() {
        for (FourBitCodec codec : List.of(PLAIN, fast)) {
            for (DType dtype : List.of(DType.F64, DType.U8, DType.I32)) {
                TensorView weight = new TensorView(dtype, Shape.of(2), MemorySegment.ofArray(new byte[(int) dtype.byteSize(2)]));
                try (Arena arena = Arena.ofConfined()) {
                    assertFails(IllegalArgumentException.class, () -> codec.quantize(weight, FourBitFormat.defaults(), arena), "dtype " + dtype, "must be F32, F16 or BF16");
                }
            }
        }
    }

    @Test
    void formatsThatDoNotExist() {
        FourBitFormat format = FourBitFormat.defaults();
        for (int blockSize : new int[] {0, -64, 16, 63, 96, 8192}) {
            assertFails(IllegalArgumentException.class, () -> format.withBlockSize(blockSize), "blockSize is " + blockSize, "a power of two from 32 to 4096");
        }
        assertFails(IllegalArgumentException.class, () -> format.withDtype(DType.U8), "dtype is U8", "must be F32, F16 or BF16");
        assertFails(IllegalArgumentException.class, () -> FourBitType.ofId("nf5"), "\"nf5\"", "\"nf4\" or \"fp4\"");
        for (FourBitType type : FourBitType.values()) {
            assertEquals(type, FourBitType.ofId(type.id()));
        }
    }

    @Test
    void partsOfTheWrongSizeAreRefused() {
        FourBitFormat single = FourBitFormat.defaults().withDoubleQuantization(false), nested = FourBitFormat.defaults();
        Shape shape = Shape.of(10, 13);                                                 // 130 elements, 65 bytes, 3 blocks
        Absmax plain = new Absmax.Plain(bytes(12)), both = new Absmax.Nested(bytes(3), bytes(4), 0, DynamicMap.signed());
        assertEquals(65 + 12, new QuantizedTensor(single, shape, bytes(65), plain).byteSize());
        assertEquals(65 + 7, new QuantizedTensor(nested, shape, bytes(65), both).byteSize());
        assertEquals(nested.byteSize(130), 65 + 7);
        assertFails(ShapeException.class, () -> new QuantizedTensor(single, shape, bytes(64), plain), "4-bit tensor [10, 13]: codes has 64 bytes, it must have 65");
        assertFails(ShapeException.class, () -> new QuantizedTensor(single, shape, bytes(65), new Absmax.Plain(bytes(8))), "absmax has 8 bytes, it must have 12");
        assertFails(ShapeException.class, () -> new QuantizedTensor(nested, shape, bytes(65), new Absmax.Nested(bytes(2), bytes(4), 0, DynamicMap.signed())), "absmax has 2 bytes, it must have 3");
        assertFails(ShapeException.class, () -> new QuantizedTensor(nested, shape, bytes(65), new Absmax.Nested(bytes(3), bytes(8), 0, DynamicMap.signed())),
                "nested_absmax has 8 bytes, it must have 4");
        assertFails(IllegalArgumentException.class, () -> new QuantizedTensor(nested, shape, bytes(65), plain), "[10, 13]: plain absmax, but the format says double quantization");
        assertFails(IllegalArgumentException.class, () -> new QuantizedTensor(single, shape, bytes(65), both), "[10, 13]: nested absmax, but the format says no double quantization");
    }

    private static MemorySegment bytes(int count) {
        return MemorySegment.ofArray(new byte[count]);
    }
}
