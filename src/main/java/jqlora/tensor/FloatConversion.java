package jqlora.tensor;

import java.lang.foreign.MemorySegment;

/**
 * Float32 to and from bfloat16, float16 and float64, rounding to nearest, ties to even, as IEEE 754 and PyTorch do.
 * NaN stays NaN; a bfloat16 NaN made here is quiet.
 */
public final class FloatConversion {
    private FloatConversion() { }

    /** The bfloat16 bits nearest to {@code value}. */
    public static short toBf16(float value) {
        int bits = Float.floatToRawIntBits(value);
        if ((bits & 0x7fffffff) > 0x7f800000) {
            return (short) (bits >>> 16 | 0x0040);                // rounding could carry a NaN into infinity
        }
        return (short) (bits + 0x7fff + (bits >>> 16 & 1) >>> 16);
    }

    /** The value of bfloat16 {@code bits}, exact. */
    public static float fromBf16(short bits) {
        return Float.intBitsToFloat(bits << 16);
    }

    /**
     * {@code value} rounded to the nearest value of {@code dtype}, one of F32, F16 and BF16.
     *
     * @throws IllegalArgumentException for another dtype
     */
    public static float round(float value, DType dtype) {
        return switch (dtype) {
            case F32 -> value;
            case F16 -> Float.float16ToFloat(Float.floatToFloat16(value));
            case BF16 -> fromBf16(toBf16(value));
            default -> throw new IllegalArgumentException("dtype " + dtype + " must be F32, F16 or BF16");
        };
    }

    /**
     * Reads {@code count} elements, beginning with element {@code first} of {@code source}, into {@code target}.
     *
     * @param dtype F32, F16, BF16 or F64: the type of the elements of {@code source}
     * @throws IllegalArgumentException for another dtype
     */
    public static void toFloats(DType dtype, MemorySegment source, long first, float[] target, int at, int count) {
        switch (dtype) {
            case F32 -> MemorySegment.copy(source, TensorView.FLOAT, first * 4, target, at, count);
            case BF16 -> {
                for (int i = 0; i < count; i++) {
                    target[at + i] = fromBf16(source.get(TensorView.SHORT, (first + i) * 2));
                }
            }
            case F16 -> {
                for (int i = 0; i < count; i++) {
                    target[at + i] = Float.float16ToFloat(source.get(TensorView.SHORT, (first + i) * 2));
                }
            }
            case F64 -> {
                for (int i = 0; i < count; i++) {
                    target[at + i] = (float) source.get(TensorView.DOUBLE, (first + i) * 8);
                }
            }
            default -> throw notAFloatType(dtype);
        }
    }

    /**
     * Writes {@code count} floats as elements of {@code dtype}, beginning with element {@code first} of {@code target}.
     *
     * @param dtype F32, F16, BF16 or F64
     * @throws IllegalArgumentException for another dtype
     */
    public static void fromFloats(float[] source, int at, int count, DType dtype, MemorySegment target, long first) {
        switch (dtype) {
            case F32 -> MemorySegment.copy(source, at, target, TensorView.FLOAT, first * 4, count);
            case BF16 -> {
                for (int i = 0; i < count; i++) {
                    target.set(TensorView.SHORT, (first + i) * 2, toBf16(source[at + i]));
                }
            }
            case F16 -> {
                for (int i = 0; i < count; i++) {
                    target.set(TensorView.SHORT, (first + i) * 2, Float.floatToFloat16(source[at + i]));
                }
            }
            case F64 -> {
                for (int i = 0; i < count; i++) {
                    target.set(TensorView.DOUBLE, (first + i) * 8, source[at + i]);
                }
            }
            default -> throw notAFloatType(dtype);
        }
    }

    private static IllegalArgumentException notAFloatType(DType dtype) {
        return new IllegalArgumentException("dtype " + dtype + " must be F32, F16, BF16 or F64");
    }
}
