package jqlora.model;

import java.util.List;
import java.util.stream.Stream;
import jqlora.ops.AttentionShape;
import jqlora.ops.HeadNorms;
import jqlora.ops.HeadOrder;
import jqlora.ops.Heads;
import jqlora.ops.Input;
import jqlora.ops.LinearGroup;
import jqlora.ops.Link;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;

/**
 * Attention:
 *
 * <pre>
 *   x ── (norm) ── query, key, value ── heads: order, norms, rotation ── attention ── output
 * </pre>
 */
final class AttentionBranch extends Branch {
    /** What the forward leaves for the backward. */
    static final class State extends Branch.State {
        /** [rows, rank], of the adapters of queries, keys and values; null without adapters. */
        Tensor qkvInner;
        /** What the projection gave, [rows, qkv], and F32 [rows, heads], kept where heads are normalised. */
        Tensor fused, headRstd;
        /** [rows, qkv], as attention read it. */
        Tensor qkv;
        /** [rows, qHeads headDim] and F32 [rows, qHeads]. */
        Tensor attended, logSumExp;

        Stream<Tensor> tensors() {
            return Stream.of(statistics, statisticsBehind, unnormed, lastInner, qkvInner, fused, headRstd, qkv, attended, logSumExp);
        }

        /** Gives back all but the result of attention, which is dear to make again. */
        void closeAllButAttended() {
            Pass.close(statistics, statisticsBehind, unnormed, lastInner, qkvInner, fused, headRstd, qkv);
            statistics = statisticsBehind = unnormed = lastInner = qkvInner = fused = headRstd = qkv = null;
        }

        void close() {
            closeAllButAttended();
            Pass.close(attended, logSumExp);
            attended = logSumExp = null;
        }
    }

    private final int index;
    private final AttentionShape shape;
    private final List<Linear> qkv;
    private final HeadOrder order;
    private final HeadNorms headNorms;
    private final RopeSpec rope;
    private final Linear output;

    /**
     * @param index the layer's, from 0
     * @param headNorms null for none
     * @param rope null for no rotation
     */
    AttentionBranch(int index, AttentionShape shape, Norms norms, float scale, List<Linear> qkv, HeadOrder order, HeadNorms headNorms, RopeSpec rope, Linear output) {
        super(norms, scale);
        this.index = index;
        this.shape = shape;
        this.qkv = qkv;
        this.order = order;
        this.headNorms = headNorms;
        this.rope = rope;
        this.output = output;
    }

    @Override
    List<Linear> linears() {
        return Stream.concat(qkv.stream(), Stream.of(output)).toList();
    }

    HeadNorms headNorms() {
        return headNorms;
    }

    private Heads heads(Pass pass) {
        return new Heads(shape, order, headNorms, rope == null ? null : pass.ropes().get(rope), pass.positions());
    }

    /** @return {@code residual} plus the branch's result; {@code state} holds what the backward needs, and what it holds of attention already is not computed again */
    Tensor forward(Pass pass, Tensor x, Tensor residual, State state) {
        Heads heads = heads(pass);
        state.statistics = pass.statistics(norms.before());
        LinearGroup group = group(qkv);
        state.qkvInner = pass.inner(group);
        Tensor fused = pass.ops().linear(new Link(input(x, state), group, state.qkvInner), null, pass.dropout());
        state.headRstd = headNorms == null ? null : pass.ops().allocate(DType.F32, headNorms.statistics(shape, pass.rows()).toArray());
        state.qkv = pass.ops().heads(fused, heads, state.headRstd);
        if (headNorms != null) {
            state.fused = fused;
        } else if (!heads.isInPlace()) {
            fused.close();
        }
        if (state.attended == null) {
            attend(pass, state);
        }
        return joined(pass, new Input.Kept(state.attended), output, residual, state);
    }

    private void attend(Pass pass, State state) {
        if (pass.backward()) {
            state.logSumExp = pass.ops().allocate(DType.F32, pass.rows(), shape.numAttentionHeads());
            state.attended = pass.ops().attention(state.qkv, shape, pass.sequences(), state.logSumExp);
        } else if (pass.cache() == null) {
            state.attended = pass.ops().attention(state.qkv, shape, pass.sequences(), null);
        } else if (pass.sequences() == null) {
            state.attended = pass.ops().cachedAttention(state.qkv, shape, pass.positions(), pass.cache(), index);
        } else {
            state.attended = pass.ops().cachedAttention(state.qkv, shape, pass.sequences(), pass.cache(), index);
        }
    }

    /**
     * @param dX [rows, hidden], holds the gradient of the residual, the branch's is added into it; it may be dY
     * @param dY [rows, hidden], read as the gradient of the result
     * @param inputWanted whether anything below the layer is trained; if not, dX is left with an undefined content
     */
    void backward(Pass pass, Tensor dX, Tensor dY, Tensor x, State state, boolean inputWanted) {
        Tensor dLast = behind(pass, dX, dY, state);
        try (Tensor dQkv = pass.ops().allocate(pass.ops().computeType(), pass.rows(), shape.qkvColumns())) {
            try (Tensor dAttended = pass.ops().allocate(pass.ops().computeType(), pass.rows(), shape.queryColumns())) {
                pass.ops().linearBackward(dAttended, dLast, List.of(new Link(new Input.Kept(state.attended), LinearGroup.of(output.weights()), state.lastInner)), pass.dropout());
                pass.ops().attentionBackward(dQkv, dAttended, state.qkv, state.attended, state.logSumExp, shape, pass.sequences());
            }
            Tensor dFused = pass.ops().headsBackward(dQkv, state.fused, heads(pass), state.headRstd);
            chainBackward(pass, inputWanted ? dX : null, dFused, List.of(new Link(input(x, state), group(qkv), state.qkvInner)));
            if (dFused != dQkv) {
                dFused.close();
            }
        } finally {
            if (dLast != dY) {
                dLast.close();
            }
        }
    }
}
