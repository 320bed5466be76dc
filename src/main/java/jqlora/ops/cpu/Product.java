package jqlora.ops.cpu;

import java.lang.foreign.MemorySegment;

/**
 * Matrix products. The same call gives the same bits, whatever the number of threads, so that a recomputed activation is the one
 * that it replaces. An implementation may promise more: see {@link VectorProduct}.
 */
interface Product {
    /** A factor: a matrix as stored, or its transpose. */
    record Factor(MatrixSource source, boolean transposed) {
        static Factor of(MatrixSource source) {
            return new Factor(source, false);
        }

        static Factor transposed(MatrixSource source) {
            return new Factor(source, true);
        }

        int rows() {
            return transposed ? source.columns() : source.rows();
        }

        int columns() {
            return transposed ? source.rows() : source.columns();
        }
    }

    /** F32 memory that a product writes: rows {@code stride} elements apart, the first element at index {@code first}. */
    record Target(MemorySegment memory, long first, long stride) { }

    /**
     * {@code c = scale a b}, or {@code c += scale a b}.
     *
     * @param a [m, k]
     * @param b [k, n]
     * @param c [m, n]
     * @param accumulate whether to add to what is there
     */
    void multiply(Factor a, Factor b, Target c, float scale, boolean accumulate);

    /** Such as {@code Vector API, 512 bits}. */
    String description();
}
