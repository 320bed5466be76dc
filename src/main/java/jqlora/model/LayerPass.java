package jqlora.model;

import java.util.List;
import jqlora.ops.AttentionShape;
import jqlora.ops.KvCache;
import jqlora.ops.LinearWeights;
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
        AttentionShape shape = spec.attentionShape(layer.index());
        long rows = rows();
        state.inputRstd = ops.allocate(DType.F32, rows);
        try (Tensor normed = ops.rmsNorm(state.x, layer.inputLayernorm().value(), spec.rmsNormEps(), state.inputRstd)) {
            List<LinearWeights> group = qkvGroup(layer);
            state.qkvInner = inner(group);
            state.qkv = ops.linear(normed, group, state.qkvInner, dropoutKey);
        }
        if (layer.attention().headNorms() != null) {
            state.qkvBeforeNorm = state.qkv;
            state.headRstd = ops.allocate(DType.F32, rows, shape.numAttentionHeads() + shape.numKeyValueHeads());
            state.qkv = ops.headNorm(state.qkvBeforeNorm, shape, layer.attention().headNorms().qNorm().value(),
                    layer.attention().headNorms().kNorm().value(), spec.rmsNormEps(), state.headRstd);
        }
        ops.ropeInPlace(state.qkv, shape, rope, positions);
        attend(layer, state, shape, inference);
        List<LinearWeights> output = List.of(layer.attention().oProj().weights());
        state.outputInner = inner(output);
        state.middle = ops.linearAdd(state.x, state.attended, output, state.outputInner, dropoutKey);
        state.postAttentionRstd = ops.allocate(DType.F32, rows);
        try (Tensor normed = ops.rmsNorm(state.middle, layer.postAttentionLayernorm().value(), spec.rmsNormEps(), state.postAttentionRstd)) {
            List<LinearWeights> group = gateUpGroup(layer);
            state.gateUpInner = inner(group);
            state.gateUp = ops.linear(normed, group, state.gateUpInner, dropoutKey);
        }
        List<LinearWeights> down = List.of(layer.mlp().downProj().weights());
        state.downInner = inner(down);
        try (Tensor activated = ops.gatedActivation(state.gateUp, spec.mlp().activation())) {
            return ops.linearAdd(state.middle, activated, down, state.downInner, dropoutKey);
        }
    }

    private void attend(DecoderLayer layer, LayerState state, AttentionShape shape, Inference inference) {
        if (inference == null) {
            state.logSumExp = ops.allocate(DType.F32, sequences.rows(), shape.numAttentionHeads());
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
     * Gradients of everything trained in the layer are added into.
     *
     * @param dY [rows, hidden], read as the gradient of the output, overwritten with the gradient of the input
     * @param inputWanted whether something below the layer is trained; if not, dY is left with an undefined content
     */
    void backward(DecoderLayer layer, LayerState state, Tensor dY, boolean inputWanted) {
        mlpBackward(layer, state, dY);
        attentionBackward(layer, state, dY, inputWanted);
    }

    private void mlpBackward(DecoderLayer layer, LayerState state, Tensor dY) {
        long rows = sequences.rows();
        int intermediate = spec.mlp().intermediateSize();
        try (Tensor dGateUp = ops.allocate(ops.computeType(), rows, 2L * intermediate)) {
            ops.gatedLinearBackward(dGateUp, dY, state.gateUp, spec.mlp().activation(), List.of(layer.mlp().downProj().weights()), state.downInner, dropoutKey);
            ops.normedLinearBackward(dY, dGateUp, state.middle, layer.postAttentionLayernorm(), state.postAttentionRstd, gateUpGroup(layer), state.gateUpInner, dropoutKey);
        }
    }

    private void attentionBackward(DecoderLayer layer, LayerState state, Tensor dMiddle, boolean inputWanted) {
        AttentionShape shape = spec.attentionShape(layer.index());
        long rows = sequences.rows();
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
            ops.normedLinearBackward(inputWanted ? dMiddle : null, dQkv, state.x, layer.inputLayernorm(), state.inputRstd, qkvGroup(layer), state.qkvInner, dropoutKey);
        }
    }

    private static List<LinearWeights> qkvGroup(DecoderLayer layer) {
        return List.of(layer.attention().qProj().weights(), layer.attention().kProj().weights(), layer.attention().vProj().weights());
    }

    private static List<LinearWeights> gateUpGroup(DecoderLayer layer) {
        return List.of(layer.mlp().gateProj().weights(), layer.mlp().upProj().weights());
    }

    private Tensor inner(List<LinearWeights> group) {
        long ranks = group.stream().mapToLong(linear -> linear.lora() == null ? 0 : linear.lora().r()).sum();
        return ranks == 0 ? null : ops.allocate(ops.computeType(), rows(), ranks);
    }
}
