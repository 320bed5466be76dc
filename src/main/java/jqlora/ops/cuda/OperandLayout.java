package jqlora.ops.cuda;

import java.util.List;
import jqlora.ops.LinearWeights;

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

    static OperandLayout of(List<LinearWeights> group, Form form) {
        long outs = 0;
        int rank = rank(group);
        for (LinearWeights linear : group) {
            outs += linear.weight().outFeatures();
        }
        return new OperandLayout(form, outs, group.getFirst().weight().inFeatures(), rank, form == Form.BF16 ? padded(group) : (int) CudaTensor.strideFor(rank));
    }

    static int rank(List<LinearWeights> group) {
        int rank = 0;
        for (LinearWeights linear : group) {
            rank += linear.lora() == null ? 0 : (int) linear.lora().r();
        }
        return rank;
    }

    /** Columns that the adapters of a group take behind a row of bfloat16: whole tiles of the products. */
    static int padded(List<LinearWeights> group) {
        int tile = group.getFirst().weight().inFeatures() >= WIDE_FROM ? TILE : NARROW_TILE;
        return Math.ceilDiv(rank(group), tile) * tile;
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
