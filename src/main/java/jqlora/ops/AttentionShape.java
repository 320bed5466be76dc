package jqlora.ops;

/**
 * The shape of causal self-attention with grouped queries.
 *
 * @param numAttentionHeads query heads
 * @param numKeyValueHeads key and value heads; a divisor of numAttentionHeads
 * @param headDim size of one head
 * @param slidingWindow how many positions back a query sees, itself included; 0 for all
 * @param scale factor of the scores before the softmax, usually 1 / sqrt(headDim)
 * @param softCap the scores, scaled, are {@code softCap tanh(score / softCap)} (Gemma 2); 0 for none
 * @param alibiMax greatest exponent of the slopes of linear biases, usually 8: a key that stands d positions back has {@code slope(head) d} taken off its score; 0 for none
 */
public record AttentionShape(int numAttentionHeads, int numKeyValueHeads, int headDim, int slidingWindow, float scale, float softCap, float alibiMax) {
    /** Without cap or biases. */
    public AttentionShape(int numAttentionHeads, int numKeyValueHeads, int headDim, int slidingWindow, float scale) {
        this(numAttentionHeads, numKeyValueHeads, headDim, slidingWindow, scale, 0, 0);
    }

    public AttentionShape {
        if (numAttentionHeads < 1 || numKeyValueHeads < 1 || numAttentionHeads % numKeyValueHeads != 0) {
            throw new IllegalArgumentException("attention: numAttentionHeads is " + numAttentionHeads + " and numKeyValueHeads is "
                    + numKeyValueHeads + ", the first must be a multiple of the second");
        }
        if (headDim < 1 || slidingWindow < 0) {
            throw new IllegalArgumentException("attention: headDim is " + headDim + " and slidingWindow is " + slidingWindow
                    + ", they must be at least 1 and at least 0");
        }
    }

    /** Whether scores are scaled products of queries and keys, and nothing else. */
    public boolean isPlain() {
        return softCap == 0 && alibiMax == 0;
    }

    /**
     * The linear bias of a query head for each position back: with n heads {@code 2^(-alibiMax (head + 1) / n)}; where n is no power of two, the slopes of the next lower one,
     * then every second one of the next higher one.
     *
     * @see <a href="https://arxiv.org/abs/2108.12409">Train short, test long</a>
     */
    public float slope(int head) {
        if (alibiMax == 0) {
            return 0;
        }
        int lower = Integer.highestOneBit(numAttentionHeads);
        double exponent = head < lower ? (head + 1.0) / lower : (2.0 * (head - lower) + 1) / (2 * lower);
        return (float) Math.pow(2, -alibiMax * exponent);
    }

    /** Columns of the queries. */
    public int queryColumns() {
        return numAttentionHeads * headDim;
    }

    /** Columns of the keys, and of the values. */
    public int keyColumns() {
        return numKeyValueHeads * headDim;
    }

    /** Columns of queries, keys and values together. */
    public int qkvColumns() {
        return queryColumns() + 2 * keyColumns();
    }
}
