package jqlora.ops;

/**
 * The output layer: {@code cap tanh(scale (W x + bias) / cap)}.
 *
 * @param scale factor of the scores, usually 1
 * @param softCap bound of the scores (Gemma 2); 0 for none
 */
public record OutputHead(LinearWeights weights, float scale, float softCap) {
    public OutputHead(LinearWeights weights) {
        this(weights, 1, 0);
    }

    /** Whether the scores are those of the linear layer. */
    public boolean isPlain() {
        return scale == 1 && softCap == 0;
    }
}
