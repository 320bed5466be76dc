package jqlora.ops;

/** How a checkpoint's fused projection lays out queries, keys and values, in blocks of one head's size. */
public enum HeadOrder {
    /** All queries, then all keys, then all values: what attention reads. */
    SEPARATE,
    /** For each key head, the queries that read it, then the key, then the value (Falcon); with as many keys as queries, head by head (GPT-NeoX, BLOOM). */
    BY_GROUP;

    /**
     * Where each block of {@link #SEPARATE} lies in this order.
     *
     * @return [numAttentionHeads + 2 numKeyValueHeads], each number once
     */
    public int[] blocks(AttentionShape shape) {
        int queries = shape.numAttentionHeads(), keys = shape.numKeyValueHeads(), group = queries / keys;
        int[] blocks = new int[queries + 2 * keys];
        for (int i = 0; i < blocks.length; i++) {
            int key = i < queries ? i / group : (i - queries) % keys, within = i < queries ? i % group : group + (i - queries) / keys;
            blocks[i] = this == SEPARATE ? i : key * (group + 2) + within;
        }
        return blocks;
    }
}
