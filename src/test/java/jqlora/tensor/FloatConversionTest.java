package jqlora.tensor;

import static jqlora.Assert.assertFails;
import static jqlora.Assert.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Against the definitions of the formats: sign, exponent and fraction of every one of the 65536 patterns, in double. */
class FloatConversionTest {
    /** The value of a 16-bit float with {@code exponentBits} and {@code fractionBits}; NaN for its NaNs. */
    private static double value(int bits, int exponentBits, int fractionBits) {
        int exponent = bits >>> fractionBits & (1 << exponentBits) - 1, fraction = bits & (1 << fractionBits) - 1;
        int bias = (1 << exponentBits - 1) - 1, highest = (1 << exponentBits) - 1;
        double magnitude;
        if (exponent == highest) {
            magnitude = fraction == 0 ? Double.POSITIVE_INFINITY : Double.NaN;
        } else if (exponent == 0) {
            magnitude = fraction * Math.pow(2, 1 - bias - fractionBits);
        } else {
            magnitude = ((1 << fractionBits) + fraction) * Math.pow(2, exponent - bias - fractionBits);
        }
        return bits >>> 15 == 0 ? magnitude : -magnitude;
    }

    private static double value(DType dtype, int bits) {
        return dtype == DType.F16 ? value(bits, 5, 10) : value(bits, 8, 7);
    }

    /** The one element of {@code bits} through the bulk conversion. */
    private static float read(DType dtype, int bits) {
        float[] out = new float[1];
        FloatConversion.toFloats(dtype, MemorySegment.ofArray(new short[] {(short) bits}), 0, out, 0, 1);
        return out[0];
    }

    private static int write(DType dtype, float value) {
        short[] out = new short[1];
        FloatConversion.fromFloats(new float[] {value}, 0, 1, dtype, MemorySegment.ofArray(out), 0);
        return out[0] & 0xffff;
    }

    @ParameterizedTest
    @EnumSource(names = {"F16", "BF16"})
    void everyPatternIsReadExactlyAndWrittenBack(DType dtype) {
        for (int bits = 0; bits < 1 << 16; bits++) {
            double expected = value(dtype, bits);
            float actual = read(dtype, bits);
            assertEquals(expected, actual, "bits " + Integer.toHexString(bits));     // Double.equals: the zeros differ, NaN is NaN
            if (Double.isNaN(expected)) {
                assertTrue(Double.isNaN(value(dtype, write(dtype, actual))), "NaN " + Integer.toHexString(bits) + " stays NaN");
            } else {
                assertEquals(bits, write(dtype, actual), "bits " + Integer.toHexString(bits));
            }
            if (dtype == DType.BF16) {
                assertSameBits("fromBf16", new float[] {FloatConversion.fromBf16((short) bits)}, new float[] {actual});
            }
        }
    }

    /** Between each two neighbours: just below the middle goes down, the middle to the even one, just above it goes up. */
    @ParameterizedTest
    @EnumSource(names = {"F16", "BF16"})
    void roundingIsToNearestTiesToEven(DType dtype) {
        int infinity = dtype == DType.F16 ? 0x7c00 : 0x7f80;
        for (int bits = 0; bits < infinity; bits++) {
            double low = value(dtype, bits);
            // the neighbour of the largest number is where the next exponent would begin; from the middle on it is infinity
            double high = bits + 1 == infinity ? 2 * low - value(dtype, bits - 1) : value(dtype, bits + 1);
            float middle = (float) ((low + high) / 2);
            assertEquals((low + high) / 2, middle, "the middle is a float");
            for (int sign = 0; sign <= 0x8000; sign += 0x8000) {
                float signed = sign == 0 ? middle : -middle;
                String what = "around " + middle;
                assertEquals(sign | bits, write(dtype, sign == 0 ? Math.nextDown(middle) : -Math.nextDown(middle)), what);
                assertEquals(sign | bits + (bits & 1), write(dtype, signed), what);
                assertEquals(sign | bits + 1, write(dtype, sign == 0 ? Math.nextUp(middle) : -Math.nextUp(middle)), what);
            }
        }
        assertEquals(infinity, write(dtype, Float.POSITIVE_INFINITY));
        assertEquals(infinity | 0x8000, write(dtype, Float.NEGATIVE_INFINITY));
        assertEquals(infinity, write(dtype, Float.MAX_VALUE));
    }

    @Test
    void aBfloat16NanIsQuietAndKeepsItsSign() {
        for (int nan : new int[] {0x7f800001, 0x7fffffff, 0xff800001, 0xffffffff, 0x7fc00000}) {
            int bits = FloatConversion.toBf16(Float.intBitsToFloat(nan)) & 0xffff;
            assertTrue((bits & 0x7fff) > 0x7f80, "NaN " + Integer.toHexString(nan));
            assertTrue((bits & 0x0040) != 0, "quiet");
            assertEquals(nan >>> 31, bits >>> 15, "sign");
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"F32", "F16", "BF16", "F64"})
    void bulkConversionStaysWithinItsRange(DType dtype) {
        Random random = new Random(1);
        float[] source = new float[20];
        for (int i = 0; i < source.length; i++) {
            source[i] = FloatConversion.round(random.nextFloat(), dtype == DType.F64 ? DType.F32 : dtype);
        }
        MemorySegment memory = MemorySegment.ofArray(new byte[Math.toIntExact(dtype.byteSize(30))]);
        FloatConversion.fromFloats(source, 3, 11, dtype, memory, 5);
        float[] all = new float[30];
        FloatConversion.toFloats(dtype, memory, 0, all, 0, 30);
        float[] expected = new float[30];
        System.arraycopy(source, 3, expected, 5, 11);
        assertSameBits("written", all, expected);
        float[] part = {9, 9, 9, 9};
        FloatConversion.toFloats(dtype, memory, 6, part, 1, 2);
        assertSameBits("read", part, new float[] {9, source[4], source[5], 9});
    }

    @Test
    void doublesAreRoundedToFloats() {
        MemorySegment memory = MemorySegment.ofArray(new double[] {1 + 0x1p-24, 1 + 0x1.8p-24, 1e300, Double.NaN});
        float[] out = new float[4];
        FloatConversion.toFloats(DType.F64, memory, 0, out, 0, 4);
        assertSameBits("F64", out, new float[] {1, 1 + 0x1p-23f, Float.POSITIVE_INFINITY, Float.NaN});
    }

    @Test
    void roundIsWriteThenRead() {
        Random random = new Random(2);
        for (int i = 0; i < 100_000; i++) {
            float value = Float.intBitsToFloat(random.nextInt());
            for (DType dtype : new DType[] {DType.F16, DType.BF16}) {
                float rounded = FloatConversion.round(value, dtype);
                assertEquals(read(dtype, write(dtype, value)), rounded);
                assertFalse(Float.isNaN(value) ^ Float.isNaN(rounded));
            }
            assertEquals(value, FloatConversion.round(value, DType.F32));
        }
    }

    @Test
    void otherTypesAreRefused() {
        MemorySegment memory = MemorySegment.ofArray(new byte[8]);
        String must = "must be F32, F16, BF16 or F64";
        assertFails(IllegalArgumentException.class, () -> FloatConversion.toFloats(DType.I32, memory, 0, new float[1], 0, 1), "I32", must);
        assertFails(IllegalArgumentException.class, () -> FloatConversion.fromFloats(new float[1], 0, 1, DType.U8, memory, 0), "U8", must);
        assertFails(IllegalArgumentException.class, () -> FloatConversion.round(1, DType.F64), "F64", "must be F32, F16 or BF16");
    }
}
