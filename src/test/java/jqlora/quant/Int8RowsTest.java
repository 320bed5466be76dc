package jqlora.quant;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import jqlora.tensor.TensorView;
import org.junit.jupiter.api.Test;

class Int8RowsTest {
    @Test
    void eachRowHasItsOwnScale() {
        Int8Rows rows = Int8Rows.of(TensorView.ofFloats(new float[] {0.5f, -1, 0.1f, 1270, 10, -25}, 2, 3));
        assertArrayEquals(new byte[] {64, -127, 13, 127, 1, -2}, rows.codes(), "63.5 to the even 64, 12.7 to 13, -2.5 to the even -2");
        assertArrayEquals(new float[] {1, 1270}, rows.absmax());
        assertArrayEquals(new float[] {64 / 127f, -1, 13 / 127f, 1270, 10, -20}, rows.toFloats());
        assertEquals(6 + 2 * 4, rows.byteSize());
        assertEquals("[2, 3] in int8, an absmax a row", rows.toString());
    }

    @Test
    void aRowOfZerosStaysZero() {
        assertArrayEquals(new float[4], Int8Rows.of(TensorView.ofFloats(new float[4], 2, 2)).toFloats());
    }

    @Test
    void whatIsNoMatrixOrNotFiniteIsRefused() {
        assertFails(IllegalArgumentException.class, () -> Int8Rows.of(TensorView.ofFloats(new float[4], 4)), "INT8: the weight has shape [4], it must be [rows, columns]");
        assertFails(IllegalArgumentException.class, () -> Int8Rows.of(TensorView.ofFloats(new float[] {1, 2, 3, Float.NaN}, 2, 2)),
                "INT8: the number at row 1, column 1 is NaN, it must be finite");
    }
}
