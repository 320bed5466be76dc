package jqlora.tensor;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * A tensor's bytes in host memory, little-endian, contiguous and row-major; often a slice of a mapped file.
 *
 * @param data exactly the bytes of the elements; need not be aligned
 */
public record TensorView(DType dtype, Shape shape, MemorySegment data) {
    /** Little-endian layouts without an alignment demand: a tensor may start at any byte of a file. */
    public static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    public static final ValueLayout.OfDouble DOUBLE = ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    public static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    public static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    public static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    public static final ValueLayout.OfByte BYTE = ValueLayout.JAVA_BYTE;

    public TensorView {
        long needed = dtype.byteSize(shape.size());
        if (data.byteSize() != needed) {
            throw new ShapeException("tensor view: " + data.byteSize() + " bytes, but " + dtype + " " + shape + " needs " + needed);
        }
    }

    /** A view of a copy of {@code values} as F32. */
    public static TensorView ofFloats(float[] values, long... dims) {
        MemorySegment copy = MemorySegment.ofArray(new byte[Math.multiplyExact(values.length, 4)]);
        MemorySegment.copy(values, 0, copy, FLOAT, 0, values.length);
        return new TensorView(DType.F32, Shape.of(dims), copy);
    }

    /**
     * The elements as floats, exact for F32, F16 and BF16, rounded to nearest for F64.
     *
     * @throws IllegalArgumentException for other types, or more than 2^31 - 1 elements
     */
    public float[] toFloats() {
        float[] floats = new float[Math.toIntExact(shape.size())];
        FloatConversion.toFloats(dtype, data, 0, floats, 0, floats.length);
        return floats;
    }

    /** The elements of an I64, I32, U8 or BOOL tensor as ints, exact. */
    public int[] toInts() {
        int[] ints = new int[Math.toIntExact(shape.size())];
        for (int i = 0; i < ints.length; i++) {
            ints[i] = switch (dtype) {
                case I64 -> Math.toIntExact(data.getAtIndex(LONG, i));
                case I32 -> data.getAtIndex(INT, i);
                case U8, BOOL -> data.get(BYTE, i) & 0xff;
                default -> throw new IllegalArgumentException("toInts: dtype " + dtype + " must be I64, I32, U8 or BOOL");
            };
        }
        return ints;
    }

    /** Such as {@code F32 [2, 3]}. */
    @Override
    public String toString() {
        return dtype + " " + shape;
    }
}
