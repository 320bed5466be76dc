package jqlora.tensor;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import org.junit.jupiter.api.Test;

class ShapeTest {
    @Test
    void sizeIsTheProduct() {
        assertEquals(1, Shape.of().size());
        assertEquals(30, Shape.of(5, 1, 6).size());
        assertEquals(0, Shape.of(5, 0, 6).size());
        assertEquals(1L << 40, Shape.of(1 << 20, 1 << 20).size());
    }

    @Test
    void aNegativeAxisCountsFromTheEnd() {
        Shape shape = Shape.of(2, 3, 4);
        assertEquals(3, shape.rank());
        assertEquals(2, shape.dim(0));
        assertEquals(4, shape.dim(-1));
        assertEquals(2, shape.dim(-3));
        assertFails(ShapeException.class, () -> shape.dim(3), "[2, 3, 4]", "no axis 3");
        assertFails(ShapeException.class, () -> shape.dim(-4), "[2, 3, 4]", "no axis -4");
    }

    @Test
    void asMatrixKeepsTheLastDimension() {
        assertEquals(Shape.of(6, 4), Shape.of(2, 3, 4).asMatrix());
        assertEquals(Shape.of(1, 4), Shape.of(4).asMatrix());
        assertEquals(Shape.of(1, 1), Shape.of().asMatrix());
        assertEquals(Shape.of(0, 0), Shape.of(3, 0).asMatrix());
    }

    @Test
    void equalsComparesDimensions() {
        assertEquals(Shape.of(2, 3), Shape.of(2, 3));
        assertEquals(Shape.of(2, 3).hashCode(), Shape.of(2, 3).hashCode());
        assertNotEquals(Shape.of(2, 3), Shape.of(3, 2));
        assertNotEquals(Shape.of(6), Shape.of(2, 3));
        assertEquals("[2, 3]", Shape.of(2, 3).toString());
        assertEquals("[]", Shape.of().toString());
    }

    @Test
    void arraysAreCopied() {
        long[] dims = {2, 3};
        Shape shape = Shape.of(dims);
        dims[0] = 7;
        shape.toArray()[1] = 7;
        assertArrayEquals(new long[] {2, 3}, shape.toArray());
    }

    @Test
    void impossibleShapesAreRefused() {
        assertFails(ShapeException.class, () -> Shape.of(2, -3), "[2, -3]", "dimension -3", "must not be negative");
        assertFails(ShapeException.class, () -> Shape.of(1L << 32, 1L << 31), "[4294967296, 2147483648]", "2^63 - 1");
    }

    @Test
    void requireNamesBothShapes() {
        ShapeException.require("x", Shape.of(2), Shape.of(2));
        assertFails(ShapeException.class, () -> ShapeException.require("rmsNorm: weight", Shape.of(3), Shape.of(4)),
                "rmsNorm: weight has shape [3], it must be [4]");
    }
}
