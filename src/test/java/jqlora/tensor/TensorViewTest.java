package jqlora.tensor;

import static jqlora.Assert.assertFails;
import static jqlora.Assert.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Test;

class TensorViewTest {
    @Test
    void theBytesMustBeThoseOfTheShape() {
        MemorySegment ten = MemorySegment.ofArray(new byte[10]);
        assertFails(ShapeException.class, () -> new TensorView(DType.F32, Shape.of(3), ten), "10 bytes", "F32 [3] needs 12");
        assertEquals("BF16 [5]", new TensorView(DType.BF16, Shape.of(5), ten).toString());
    }

    @Test
    void floatsAreLittleEndianAndMayStartAnywhere() {
        byte[] bytes = {99, 0, 0, (byte) 0x80, 0x3f, 0, 0, 0, (byte) 0xc0};
        TensorView view = new TensorView(DType.F32, Shape.of(2), MemorySegment.ofArray(bytes).asSlice(1));
        assertSameBits("floats", view.toFloats(), new float[] {1, -2});
        assertSameBits("copy", TensorView.ofFloats(new float[] {1, -2}, 2, 1).toFloats(), new float[] {1, -2});
    }

    @Test
    void intsOfAllWidths() {
        assertArrayEquals(new int[] {-1, 7}, new TensorView(DType.I64, Shape.of(2), MemorySegment.ofArray(new long[] {-1, 7})).toInts());
        assertArrayEquals(new int[] {-1, 7}, new TensorView(DType.I32, Shape.of(2), MemorySegment.ofArray(new int[] {-1, 7})).toInts());
        assertArrayEquals(new int[] {255, 7}, new TensorView(DType.U8, Shape.of(2), MemorySegment.ofArray(new byte[] {-1, 7})).toInts());
        assertArrayEquals(new int[] {1, 0}, new TensorView(DType.BOOL, Shape.of(2), MemorySegment.ofArray(new byte[] {1, 0})).toInts());
        TensorView large = new TensorView(DType.I64, Shape.of(1), MemorySegment.ofArray(new long[] {1L << 31}));
        assertFails(ArithmeticException.class, large::toInts);
    }

    @Test
    void otherTypesAreRefused() {
        TensorView floats = TensorView.ofFloats(new float[1], 1);
        assertFails(IllegalArgumentException.class, floats::toInts, "F32", "must be I64, I32, U8 or BOOL");
        TensorView ints = new TensorView(DType.I32, Shape.of(1), MemorySegment.ofArray(new int[1]));
        assertFails(IllegalArgumentException.class, ints::toFloats, "I32", "must be F32, F16, BF16 or F64");
    }
}
