package jqlora.ops;

import jqlora.tensor.Philox;

/**
 * A linear layer in double precision: {@code y = x W^T + bias + scaling ((x mask) A^T) B^T}.
 *
 * @param weight [outFeatures, inFeatures]
 * @param bias [1, outFeatures]; null for none
 * @param a [r, inFeatures]; null for no adapter
 * @param b [outFeatures, r]; null for no adapter
 */
public record ReferenceLinear(Matrix weight, Matrix bias, Matrix a, Matrix b, double scaling) {
    /** @param mask like x; null for no dropout */
    public Matrix forward(Matrix x, Matrix mask) {
        Matrix y = x.times(weight.transposed());
        if (bias != null) {
            y = y.plus(Matrix.filled(x.rows(), 1, 1).times(bias));
        }
        return a == null ? y : y.plus(inner(x, mask).times(b.transposed()).scaled(scaling));
    }

    /** {@code A dropout(x)}, [rows, r]. */
    public Matrix inner(Matrix x, Matrix mask) {
        return dropped(x, mask).times(a.transposed());
    }

    public Matrix inputGradient(Matrix dY, Matrix mask) {
        Matrix dX = dY.times(weight);
        return a == null ? dX : dX.plus(dropped(innerGradient(dY).times(a), mask));
    }

    public Matrix weightGradient(Matrix dY, Matrix x) {
        return dY.transposed().times(x);
    }

    public Matrix biasGradient(Matrix dY) {
        return dY.columnSums();
    }

    public Matrix aGradient(Matrix dY, Matrix x, Matrix mask) {
        return innerGradient(dY).transposed().times(dropped(x, mask));
    }

    public Matrix bGradient(Matrix dY, Matrix x, Matrix mask) {
        return dY.transposed().times(inner(x, mask)).scaled(scaling);
    }

    /** The layer of the magnitudes: what it gives for magnitudes bounds the rounding error of a sum. */
    public ReferenceLinear absolute() {
        return new ReferenceLinear(weight.absolute(), bias == null ? null : bias.absolute(), a == null ? null : a.absolute(),
                b == null ? null : b.absolute(), Math.abs(scaling));
    }

    private Matrix innerGradient(Matrix dY) {
        return dY.times(b).scaled(scaling);
    }

    private static Matrix dropped(Matrix x, Matrix mask) {
        return mask == null ? x : x.masked(mask);
    }

    /** 0 where an element is dropped, else {@code 1 / (1 - dropout)}; see {@link DropoutMask}. */
    public static Matrix mask(int rows, int columns, long key, int module, float dropout) {
        Matrix mask = Matrix.zeros(rows, columns);
        int[] block = new int[4];
        for (int row = 0; row < rows; row++) {
            for (int column = 0; column < columns; column++) {
                int element = row * columns + column;
                Philox.block(key, element / 8, module, block);
                int word = block[element % 8 / 2], draw = element % 2 == 0 ? word & 0xffff : word >>> 16;
                mask.set(row, column, draw < Math.round(dropout * 65536) ? 0 : 1 / (1 - (double) dropout));
            }
        }
        return mask;
    }
}
