package jqlora.model;

import java.util.List;
import jqlora.ops.AttentionShape;
import jqlora.ops.GatedMlp;
import jqlora.ops.KvCache;
import jqlora.ops.LinearWeights;
import jqlora.ops.Norm;
import jqlora.ops.Ops;
import jqlora.ops.RopeTable;
import jqlora.ops.Sequences;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;

/**
 * Forward and backward of one layer:
 *
 * <pre>
 *   x ──┬─ input_layernorm ─ q,k,v_proj ─ (head norm) ─ rope ─ attention ─ o_proj ─┐
 *       └──────────────────────────────────────────────────────────────────────── + ── middle
 *   middle ──┬─ post_attention_layernorm ─ gate,up_proj ─ activation ─ down_proj ─┐
 *            └────────────────────────────────────────────────────────────────── + ── y
 * </pre>
 *
 * The results of the two norms and of the activation are not kept: the backward makes them again from what they were made of.
 *
 * @param sequences null where each row is the one new token of a sequence, and how many tokens come before it stands in positions alone
 * @param positions I32 [rows]
 * @param dropoutKey of this micro-batch; 0 outside training
 */
record LayerPass(Ops ops, DecoderSpec spec, RopeTable rope, Sequences sequences, Tensor positions, long dropoutKey) {

    /** @return the layer's output; {@code state} holds what the backward needs */
    Tensor forward(DecoderLayer layer, LayerState state) {
        return forward(layer, state, null);
    }

    /** Makes again what {@code state} does not hold of what the forward left in it: the same bits. The layer's output is not needed for that. */
    void recompute(DecoderLayer layer, LayerState state) {
        attentionForward(layer, state, null);
        gateUpForward(layer, state);
    }

    /** The layer without a backward, on new tokens whose predecessors lie in {@code cache}; null for sequences from their start. */
    Tensor infer(DecoderLayer layer, Tensor x, KvCache cache) {
        LayerState state = new LayerState(x);
        try {
            return forward(layer, state, new Inference(cache));
        } finally {
            state.closeActivations();
        }
    }

    /** @param cache null when the sequences begin in this batch */
    private record Inference(KvCache cache) { }

    private Tensor forward(DecoderLayer layer, LayerState state, Inference inference) {
        attentionForward(layer, state, inference);
        gateUpForward(layer, state);
        List<LinearWeights> down = List.of(layer.mlp().downProj().weights());
        state.downInner = inner(down);
        try (Tensor activated = ops.gatedActivation(state.gateUp, spec.mlp().activation())) {
            return ops.linearAdd(state.middle, activated, down, state.downInner, dropoutKey);
        }
    }

    /** Up to the residual stream in the middle of the layer. */
    private void attentionForward(DecoderLayer layer, LayerState state, Inference inference) {
        AttentionShape shape = spec.attentionShape(layer.index());
        long rows = rows();
        state.inputStatistics = statistics(layer.inputLayernorm());
        try (Tensor normed = ops.norm(state.x, layer.inputLayernorm(), state.inputStatistics)) {
            List<LinearWeights> group = qkvGroup(layer);
            state.qkvInner = inner(group);
            state.qkv = ops.linear(normed, group, state.qkvInner, dropoutKey);
        }
        if (layer.attention().headNorms() != null) {
            state.qkvBeforeNorm = state.qkv;
            state.headRstd = ops.allocate(DType.F32, rows, shape.numAttentionHeads() + shape.numKeyValueHeads());
            state.qkv = ops.headNorm(state.qkvBeforeNorm, shape, layer.attention().headNorms().qNorm().value(),
                    layer.attention().headNorms().kNorm().value(), spec.norm().eps(), state.headRstd);
        }
        ops.ropeInPlace(state.qkv, shape, rope, positions);
        if (state.attended == null) {
            attend(layer, state, shape, inference);
        }
        List<LinearWeights> output = List.of(layer.attention().oProj().weights());
        state.outputInner = inner(output);
        state.middle = ops.linearAdd(state.x, state.attended, output, state.outputInner, dropoutKey);
    }

    private void gateUpForward(DecoderLayer layer, LayerState state) {
        state.postAttentionStatistics = statistics(layer.postAttentionLayernorm());
        try (Tensor normed = ops.norm(state.middle, layer.postAttentionLayernorm(), state.postAttentionStatistics)) {
            List<LinearWeights> group = gateUpGroup(layer);
            state.gateUpInner = inner(group);
            state.gateUp = ops.linear(normed, group, state.gateUpInner, dropoutKey);
        }
    }

    private void attend(DecoderLayer layer, LayerState state, AttentionShape shape, Inference inference) {
        if (inference == null) {
            state.logSumExp = ops.allocate(DType.F32, rows(), shape.numAttentionHeads());
            state.attended = ops.attention(state.qkv, shape, sequences, state.logSumExp);
        } else if (inference.cache == null) {
            state.attended = ops.attention(state.qkv, shape, sequences, null);
        } else if (sequences == null) {
            state.attended = ops.cachedAttention(state.qkv, shape, positions, inference.cache, layer.index());
        } else {
            state.attended = ops.cachedAttention(state.qkv, shape, sequences, inference.cache, layer.index());
        }
    }

    private long rows() {
        return positions.shape().size();
    }

    /**
     * The backward of the layer's second half. Gradients of everything trained in it are added into; of {@code state} it leaves what the first half needs.
     *
     * @param dY [rows, hidden], read as the gradient of the layer's output, overwritten with the gradient of {@code middle}
     */
    void mlpBackward(DecoderLayer layer, LayerState state, Tensor dY) {
        GatedMlp mlp = new GatedMlp(layer.postAttentionLayernorm(), layer.mlp().gateProj().weights(), layer.mlp().upProj().weights(), spec.mlp().activation(), layer.mlp().downProj().weights());
        ops.mlpBackward(dY, mlp, state.middle, state.postAttentionStatistics, state.gateUpInner, state.gateUp, state.downInner, dropoutKey);
        state.closeMlp();
    }

    /**
     * The backward of the first half, after {@link #mlpBackward}.
     *
     * @param dMiddle [rows, hidden], read as the gradient of {@code middle}, overwritten with the gradient of the layer's input
     * @param inputWanted whether something below the layer is trained; if not, dMiddle is left with an undefined content
     */
    void attentionBackward(DecoderLayer layer, LayerState state, Tensor dMiddle, boolean inputWanted) {
        AttentionShape shape = spec.attentionShape(layer.index());
        long rows = rows();
        try (Tensor dQkv = ops.allocate(ops.computeType(), rows, shape.qkvColumns())) {
            try (Tensor dAttended = ops.allocate(ops.computeType(), rows, shape.queryColumns())) {
                ops.linearBackward(dAttended, dMiddle, state.attended, List.of(layer.attention().oProj().weights()), state.outputInner, dropoutKey);
                ops.attentionBackward(dQkv, dAttended, state.qkv, state.attended, state.logSumExp, shape, sequences);
            }
            ops.ropeBackwardInPlace(dQkv, shape, rope, positions);
            DecoderLayer.HeadNorms norms = layer.attention().headNorms();
            if (norms != null) {
                ops.headNormBackward(dQkv, state.qkvBeforeNorm, shape, norms.qNorm(), norms.kNorm(), state.headRstd);
            }
            ops.normedLinearBackward(inputWanted ? dMiddle : null, dQkv, state.x, layer.inputLayernorm(), state.inputStatistics, qkvGroup(layer), state.qkvInner, dropoutKey);
        }
    }

    private static List<LinearWeights> qkvGroup(DecoderLayer layer) {
        return List.of(layer.attention().qProj().weights(), layer.attention().kProj().weights(), layer.attention().vProj().weights());
    }

    private static List<LinearWeights> gateUpGroup(DecoderLayer layer) {
        return List.of(layer.mlp().gateProj().weights(), layer.mlp().upProj().weights());
    }

    private Tensor statistics(Norm norm) {
        return ops.allocate(DType.F32, norm.statistics(rows()).toArray());
    }

    private Tensor inner(List<LinearWeights> group) {
        long ranks = group.stream().mapToLong(linear -> linear.lora() == null ? 0 : linear.lora().r()).sum();
        return ranks == 0 ? null : ops.allocate(ops.computeType(), rows(), ranks);
    }
}
