package jqlora.ops.cuda;

import jqlora.ops.LinearGroup;

/**
 * Where the weights and adapters of a group of linear layers lie in a buffer, in bytes from its beginning; see {@link Operands}.
 *
 * @param rank columns of the adapters together; 0 without
 * @param padded columns that they take
 */
record OperandLayout(Form form, long outs, long ins, int rank, int padded) {
    private static final long ALIGNMENT = 512;
    private static final int TILE = 64, NARROW_TILE = 8, WIDE_FROM = 1024;

    /** What weights are decoded to: one bfloat16 matrix with the adapters in it, or e4m3 [outs, ins] or [ins, outs] with the adapters after it. */
    enum Form { BF16, E4M3, E4M3_TRANSPOSED }

    static OperandLayout of(LinearGroup group, Form form) {
        int rank = group.rank();
        return new OperandLayout(form, group.outFeatures(), group.inFeatures(), rank, form == Form.BF16 ? padded(group) : (int) CudaTensor.strideFor(rank));
    }

    /** Columns that the adapters of a group take behind a row of bfloat16: whole tiles of the products. */
    static int padded(LinearGroup group) {
        int tile = group.inFeatures() >= WIDE_FROM ? TILE : NARROW_TILE;
        return Math.ceilDiv(group.rank(), tile) * tile;
    }

    /** Elements from one row of the bfloat16 matrix to the next. */
    long stride() {
        return CudaTensor.strideFor(ins + padded);
    }

    /** sB, bfloat16 [outs, padded]. */
    long b() {
        return form == Form.BF16 ? 2 * ins : Math.ceilDiv(outs * ins, ALIGNMENT) * ALIGNMENT;
    }

    /** In elements, as {@link #aStride}. */
    long bStride() {
        return form == Form.BF16 ? stride() : padded;
    }

    /** A, bfloat16 [rank, ins]. */
    long a() {
        return form == Form.BF16 ? 2 * outs * stride() : b() + 2 * outs * padded;
    }

    long aStride() {
        return form == Form.BF16 ? stride() : ins;
    }

    long bytes() {
        return form == Form.BF16 ? 2 * stride() * (outs + padded) : a() + 2 * rank * ins;
    }
}
