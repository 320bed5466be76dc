package jqlora.ops.cuda;

import jqlora.ops.AttentionShape;
import jqlora.ops.HeadOrder;
import jqlora.ops.Heads;
import jqlora.ops.RopeTable;
import jqlora.tensor.Tensor;

/** Queries, keys and values on their way from the projection to attention: order, norms, rotation. */
final class CudaHeads {
    private static final String SOURCE = "rope";

    private final CudaOps ops;
    private final CudaNorm norms;

    CudaHeads(CudaOps ops, CudaNorm norms) {
        this.ops = ops;
        this.norms = norms;
    }

    CudaTensor forward(CudaTensor fused, Heads heads, Tensor rstd) {
        CudaTensor qkv = heads.order() == HeadOrder.SEPARATE ? fused : arranged(fused, heads.shape(), false);
        if (heads.norms() != null) {
            CudaTensor normed = norms.headForward(qkv, heads.shape(), heads.norms(), rstd);
            closeUnless(qkv, fused);
            qkv = normed;
        }
        rotate(qkv, heads, 1f);
        return qkv;
    }

    CudaTensor backward(CudaTensor dQkv, CudaTensor fused, Heads heads, Tensor rstd) {
        rotate(dQkv, heads, -1f);
        boolean separate = heads.order() == HeadOrder.SEPARATE;
        if (heads.norms() != null) {
            CudaTensor qkv = separate ? fused : arranged(fused, heads.shape(), false);
            norms.headBackward(dQkv, qkv, heads.shape(), heads.norms(), rstd);
            closeUnless(qkv, fused);
        }
        return separate ? dQkv : arranged(dQkv, heads.shape(), true);
    }

    private static void closeUnless(CudaTensor tensor, CudaTensor callers) {
        if (tensor != callers) {
            tensor.close();
        }
    }

    /** @param back from attention's order to the projection's */
    private CudaTensor arranged(CudaTensor from, AttentionShape shape, boolean back) {
        CudaTensor to = ops.matrix(from.rows(), from.columns());
        ops.kernel(SOURCE, "arrange_heads").matrix(to).matrix(from).number(from.rows()).integer(shape.numAttentionHeads()).integer(shape.numKeyValueHeads())
                .integer(shape.headDim()).integer(back ? 1 : 0).launchFor(from.rows() * from.columns());
        return to;
    }

    private void rotate(CudaTensor qkv, Heads heads, float direction) {
        RopeTable table = heads.rope();
        if (table == null) {
            return;
        }
        AttentionShape shape = heads.shape();
        int half = table.half(), rotated = shape.numAttentionHeads() + shape.numKeyValueHeads();
        boolean wide = !table.interleaved() && half % 8 == 0 && shape.headDim() % 8 == 0;
        ops.kernel(SOURCE, table.interleaved() ? "rope_neighbours" : wide ? "rope8" : "rope").matrix(qkv).address(table.cos()).address(table.sin()).address(heads.positions())
                .number(qkv.rows()).integer(rotated).integer(half).real(direction).integer(shape.headDim()).launchFor(qkv.rows() * rotated * (wide ? half / 8 : half));
    }
}
