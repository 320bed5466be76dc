package jqlora.ops.cpu;

import static jqlora.Assert.assertClose;
import static jqlora.tensor.TensorView.FLOAT;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import jqlora.ops.Matrix;
import jqlora.ops.cpu.Product.Factor;
import jqlora.ops.cpu.Product.Target;

/** A product with random factors, whose result lies within a larger matrix. */
record ProductCase(int m, int n, int k, boolean aTransposed, boolean bTransposed, float scale, boolean accumulate) {
    /** Rounding errors of the sum of the magnitudes of the summands: float32 sums of up to 1000 terms. */
    private static final double UNITS = 8;
    private static final int BEFORE = 5, AFTER = 7;               // columns of the target's memory beside the result
    private static final float UNTOUCHED = -12345;

    /** Sizes around those of tiles and panels, with every transposition. */
    static Stream<ProductCase> all() {
        int[] rows = {1, 3, 4, 5, 8, 17, 63, 65, 129}, columns = {1, 3, 8, 15, 16, 17, 31, 48, 63, 64, 65, 127, 128, 300, 600};
        int[] depths = {1, 3, 5, 17, 64, 129, 384, 385, 1000};
        List<ProductCase> cases = new ArrayList<>();
        for (int i = 0; i < 180; i++) {
            cases.add(of(rows[i % 9], columns[(i * 7 + i / 15) % 15], depths[(i * 4 + i / 9) % 9], i));
        }
        return cases.stream().filter(c -> (long) c.m * c.n * c.k < 4_000_000);
    }

    static ProductCase of(int m, int n, int k, int variant) {
        return new ProductCase(m, n, k, (variant & 1) != 0, (variant & 2) != 0, (variant & 4) == 0 ? 1f : -0.375f, (variant / 3 & 1) != 0);
    }

    private static Matrix random(Random random, int rows, int columns) {
        return Matrix.random(random, rows, columns).rounded(jqlora.tensor.DType.F32);
    }

    /** Rows that lie further apart than they are long, after some elements that belong to no one. */
    private static MatrixSource source(Matrix matrix) {
        int stride = matrix.columns() + 3;
        float[] memory = new float[matrix.rows() * stride + 2];
        for (int row = 0; row < matrix.rows(); row++) {
            System.arraycopy(matrix.rows(row, 1).toFloats(), 0, memory, 2 + row * stride, matrix.columns());
        }
        return new MatrixSource.Floats(MemorySegment.ofArray(memory), 2, stride, matrix.rows(), matrix.columns());
    }

    private static Factor factor(Matrix matrix, boolean transposed) {
        return transposed ? Factor.transposed(source(matrix.transposed())) : Factor.of(source(matrix));
    }

    /** What a product reads and writes; the expected result is computed once, for several products. */
    final class Check {
        private final Matrix before = random(new Random(n), m, n);
        private final Factor a, b;
        private final Matrix expected, terms;

        Check() {
            Random random = new Random(m * 31L + n * 17L + k);
            Matrix left = random(random, m, k), right = random(random, k, n);
            a = factor(left, aTransposed);
            b = factor(right, bTransposed);
            Matrix product = left.times(right).scaled(scale), magnitudes = left.absolute().times(right.absolute()).scaled(Math.abs(scale));
            expected = accumulate ? product.plus(before) : product;
            terms = accumulate ? magnitudes.plus(before.absolute()) : magnitudes;
        }

        /** The result's elements; fails if they are wrong, or if anything else was written. */
        float[] of(Product product) {
            int stride = BEFORE + n + AFTER;
            Matrix memory = Matrix.filled(m, stride, UNTOUCHED);
            memory.put(0, BEFORE, accumulate ? before : Matrix.filled(m, n, Double.NaN));
            MemorySegment c = MemorySegment.ofArray(memory.toFloats());
            product.multiply(a, b, new Target(c, BEFORE, stride), scale, accumulate);

            Matrix result = Matrix.of(m, stride, c.toArray(FLOAT)), values = result.columns(BEFORE, n);
            String what = ProductCase.this + " on " + product.description();
            assertClose(what + ", divided by the summands' magnitudes", values.dividedBy(terms).toArray(), expected.dividedBy(terms).toArray(), 0,
                    UNITS * 0x1p-24);
            result.put(0, BEFORE, Matrix.filled(m, n, UNTOUCHED));
            assertClose(what + ": beside the result", result.toArray(), Matrix.filled(m, stride, UNTOUCHED).toArray(), 0, 0);
            return values.toFloats();
        }
    }

    @Override
    public String toString() {
        return (accumulate ? "+= " : "= ") + scale + " [" + m + ", " + k + "]" + (aTransposed ? "'" : "") + " [" + k + ", " + n + "]" + (bTransposed ? "'" : "");
    }
}
