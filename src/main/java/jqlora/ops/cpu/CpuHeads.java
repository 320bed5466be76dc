package jqlora.ops.cpu;

import static jqlora.tensor.TensorView.INT;

import java.lang.foreign.MemorySegment;
import jqlora.ops.AttentionShape;
import jqlora.ops.HeadOrder;
import jqlora.ops.Heads;
import jqlora.ops.OpsArguments;
import jqlora.ops.RopeTable;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;

/** Queries, keys and values on their way from the projection to attention: order, norms, rotation. */
final class CpuHeads {
    private static final int GRAIN = 16;                          // rows that one task takes at least

    private final CpuOps ops;
    private final CpuNorm norms;

    CpuHeads(CpuOps ops, CpuNorm norms) {
        this.ops = ops;
        this.norms = norms;
    }

    Tensor forward(Tensor fused, Heads heads, Tensor rstd) {
        Tensor qkv = heads.order() == HeadOrder.SEPARATE ? fused : arranged(fused, heads, false);
        if (heads.norms() != null) {
            Tensor normed = norms.headForward(qkv, heads.shape(), heads.norms(), rstd);
            closeUnless(qkv, fused);
            qkv = normed;
        }
        if (heads.rope() != null) {
            rotate(qkv, heads, 1f);
        }
        return qkv;
    }

    Tensor backward(Tensor dQkv, Tensor fused, Heads heads, Tensor rstd) {
        if (heads.rope() != null) {
            rotate(dQkv, heads, -1f);
        }
        boolean separate = heads.order() == HeadOrder.SEPARATE;
        if (heads.norms() != null) {
            Tensor qkv = separate ? fused : arranged(fused, heads, false);
            norms.headBackward(dQkv, qkv, heads.shape(), heads.norms(), rstd);
            closeUnless(qkv, fused);
        }
        return separate ? dQkv : arranged(dQkv, heads, true);
    }

    private static void closeUnless(Tensor tensor, Tensor callers) {
        if (tensor != callers) {
            tensor.close();
        }
    }

    /** @param back from attention's order to the projection's */
    private Tensor arranged(Tensor from, Heads heads, boolean back) {
        int[] blocks = heads.order().blocks(heads.shape());
        long columns = heads.shape().qkvColumns(), bytes = heads.shape().headDim() * 4L;
        Tensor to = ops.allocate(DType.F32, from.shape().toArray());
        MemorySegment in = CpuTensor.memory(from), out = CpuTensor.memory(to);
        ops.workers().ranges(from.shape().dim(0), GRAIN, (first, last) -> {
            for (long row = first; row < last; row++) {
                for (int i = 0; i < blocks.length; i++) {
                    long separate = row * columns * 4 + i * bytes, ordered = row * columns * 4 + blocks[i] * bytes;
                    MemorySegment.copy(in, back ? separate : ordered, out, back ? ordered : separate, bytes);
                }
            }
        });
        return to;
    }

    private void rotate(Tensor qkv, Heads heads, float direction) {
        RopeTable table = heads.rope();
        AttentionShape shape = heads.shape();
        int half = table.half(), rotated = shape.numAttentionHeads() + shape.numKeyValueHeads();
        MemorySegment memory = CpuTensor.memory(qkv), cos = CpuTensor.memory(table.cos()), sin = CpuTensor.memory(table.sin()), positions = CpuTensor.memory(heads.positions());
        for (long row = 0; row < qkv.shape().dim(0); row++) {
            OpsArguments.position(positions.get(INT, row * 4), row, table);
        }
        ops.workers().ranges(qkv.shape().dim(0), GRAIN, (from, to) -> {
            for (long row = from; row < to; row++) {
                long angles = (long) positions.get(INT, row * 4) * half;
                for (int head = 0; head < rotated; head++) {
                    long at = row * shape.qkvColumns() + (long) head * shape.headDim();
                    if (table.interleaved()) {
                        RowMath.rotateNeighbours(memory, at, cos, sin, angles, half, direction);
                    } else {
                        ops.math().rotate(memory, at, at + half, cos, sin, angles, half, direction);
                    }
                }
            }
        });
    }
}
