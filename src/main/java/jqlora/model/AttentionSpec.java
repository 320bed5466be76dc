package jqlora.model;

import java.util.List;

/**
 * @param qkvBias whether q_proj, k_proj and v_proj have a bias
 * @param outputBias whether o_proj has a bias
 * @param headNorm whether each query and key head is RMS-normalised before the rotation (Qwen3)
 * @param slidingWindows for each layer how many positions back a query sees, itself included; 0 for all
 */
public record AttentionSpec(int numAttentionHeads, int numKeyValueHeads, int headDim, boolean qkvBias, boolean outputBias, boolean headNorm,
        List<Integer> slidingWindows, RopeSpec rope) {
    public AttentionSpec {
        slidingWindows = List.copyOf(slidingWindows);
        if (headDim % 2 != 0) {
            throw new IllegalArgumentException("attention: headDim is " + headDim + ", it must be even for rotary positions");
        }
    }
}
