package jqlora.model;

import java.util.List;
import jqlora.ops.AttentionShape;

/**
 * The attention branch of a layer.
 *
 * @param headNorms whether each query and key head is RMS-normalised before the rotation (Qwen3), and by what; null for no
 * @param slidingWindows for each layer how many positions back a query sees, itself included; 0 for all
 * @param scale of the scores
 * @param softCap of the scores; 0 for none
 */
public record AttentionSpec(int numAttentionHeads, int numKeyValueHeads, int headDim, Qkv qkv, Projection output, HeadNormNames headNorms, List<Integer> slidingWindows,
        float scale, float softCap, Positions positions, BranchNorms norms) {
    /** Names below the layer. */
    public record HeadNormNames(String query, String key) { }

    public AttentionSpec {
        slidingWindows = List.copyOf(slidingWindows);
    }

    /** The usual scale of the scores. */
    public static float scaleFor(int headDim) {
        return (float) (1 / Math.sqrt(headDim));
    }

    /** Null where positions are not rotary. */
    public RopeSpec rope() {
        return positions instanceof Positions.Rotary(RopeSpec rope) ? rope : null;
    }

    AttentionShape shape(int layer) {
        float alibi = positions instanceof Positions.Alibi linear ? linear.max() : 0;
        return new AttentionShape(numAttentionHeads, numKeyValueHeads, headDim, slidingWindows.get(layer), scale, softCap, alibi);
    }
}
