package jqlora.model;

import java.util.List;
import java.util.Objects;
import jqlora.ops.AttentionShape;

/**
 * The attention branch of a layer.
 *
 * @param headNorms whether queries and keys are RMS-normalised before the rotation, and by what; null for no
 * @param slidingWindows for each layer how many positions back a query sees, itself included; 0 for all
 * @param scale of the scores
 * @param softCap of the scores; 0 for none
 */
public record AttentionSpec(int numAttentionHeads, int numKeyValueHeads, int headDim, Qkv qkv, Projection output, HeadNormNames headNorms, List<Integer> slidingWindows,
        float scale, float softCap, Positions positions, BranchNorms norms) {
    /** Names below the layer. @param acrossHeads see {@link jqlora.ops.HeadNorms} */
    public record HeadNormNames(String query, String key, boolean acrossHeads) { }

    public AttentionSpec {
        slidingWindows = List.copyOf(slidingWindows);
    }

    /** The usual scale of the scores. */
    public static float scaleFor(int headDim) {
        return (float) (1 / Math.sqrt(headDim));
    }

    /** How queries and keys of layer {@code layer} turn; null for not at all. */
    public RopeSpec rope(int layer) {
        return positions instanceof Positions.Rotary rotary ? rotary.layers().get(layer) : null;
    }

    /** Every rotation that some layer has, each once. */
    public List<RopeSpec> ropes() {
        return positions instanceof Positions.Rotary rotary ? rotary.layers().stream().filter(Objects::nonNull).distinct().toList() : List.of();
    }

    /** As this one, normalised by {@code others}. */
    public AttentionSpec withNorms(BranchNorms others) {
        return new AttentionSpec(numAttentionHeads, numKeyValueHeads, headDim, qkv, output, headNorms, slidingWindows, scale, softCap, positions, others);
    }

    /** As this one, with {@code others}. */
    public AttentionSpec withPositions(Positions others) {
        return new AttentionSpec(numAttentionHeads, numKeyValueHeads, headDim, qkv, output, headNorms, slidingWindows, scale, softCap, others, norms);
    }

    /** As this one, with another scale and cap of the scores. */
    public AttentionSpec withScores(float otherScale, float otherCap) {
        return new AttentionSpec(numAttentionHeads, numKeyValueHeads, headDim, qkv, output, headNorms, slidingWindows, otherScale, otherCap, positions, norms);
    }

    /** As this one, with another last layer. */
    public AttentionSpec withOutput(Projection other) {
        return new AttentionSpec(numAttentionHeads, numKeyValueHeads, headDim, qkv, other, headNorms, slidingWindows, scale, softCap, positions, norms);
    }

    AttentionShape shape(int layer) {
        float alibi = positions instanceof Positions.Alibi linear ? linear.max() : 0;
        return new AttentionShape(numAttentionHeads, numKeyValueHeads, headDim, slidingWindows.get(layer), scale, softCap, alibi);
    }
}
