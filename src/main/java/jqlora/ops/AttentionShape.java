package jqlora.ops;

/**
 * The shape of causal self-attention with grouped queries.
 *
 * @param numAttentionHeads query heads
 * @param numKeyValueHeads key and value heads; a divisor of numAttentionHeads
 * @param headDim size of one head
 * @param slidingWindow how many positions back a query sees, itself included; 0 for all
 * @param scale factor of the scores before the softmax, usually 1 / sqrt(headDim)
 */
public record AttentionShape(int numAttentionHeads, int numKeyValueHeads, int headDim, int slidingWindow, float scale) {
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
