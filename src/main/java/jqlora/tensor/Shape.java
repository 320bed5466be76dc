package jqlora.tensor;

import java.util.Arrays;
import java.util.stream.Collectors;

/** The dimensions of a tensor, outermost first; no dimensions means a scalar. Immutable. */
public final class Shape {
    private final long[] dims;
    private final long size;

    private Shape(long[] dims) {
        long product = 1;
        for (long dim : dims) {
            if (dim < 0) {
                throw new ShapeException("shape " + Arrays.toString(dims) + ": dimension " + dim + " must not be negative");
            }
            try {
                product = Math.multiplyExact(product, dim);
            } catch (ArithmeticException overflow) {
                throw new ShapeException("shape " + Arrays.toString(dims) + " has more than 2^63 - 1 elements");
            }
        }
        this.dims = dims;
        this.size = product;
    }

    /**
     * A shape of the given dimensions.
     *
     * @throws ShapeException if one is negative, or their product exceeds 2^63 - 1
     */
    public static Shape of(long... dims) {
        return new Shape(dims.clone());
    }

    /** Number of dimensions. */
    public int rank() {
        return dims.length;
    }

    /** Dimension {@code axis}; a negative axis counts from the end, -1 is the last. */
    public long dim(int axis) {
        int index = axis < 0 ? dims.length + axis : axis;
        if (index < 0 || index >= dims.length) {
            throw new ShapeException("shape " + this + " has no axis " + axis);
        }
        return dims[index];
    }

    /** Number of elements: the product of the dimensions, 1 for a scalar. */
    public long size() {
        return size;
    }

    /** A copy of the dimensions. */
    public long[] toArray() {
        return dims.clone();
    }

    /** {@code [rows, columns]} of this shape as a matrix: the last dimension, and the product of those before it. */
    public Shape asMatrix() {
        long columns = dims.length == 0 ? 1 : dims[dims.length - 1];
        return of(columns == 0 ? 0 : size / columns, columns);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Shape shape && Arrays.equals(dims, shape.dims);
    }

    @Override
    public int hashCode() {
        return Arrays.hashCode(dims);
    }

    /** Such as {@code [2, 3]}. */
    @Override
    public String toString() {
        return Arrays.stream(dims).mapToObj(Long::toString).collect(Collectors.joining(", ", "[", "]"));
    }
}
