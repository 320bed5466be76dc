package jqlora.ops;

import jqlora.tensor.Tensor;

/**
 * What happens to queries, keys and values between their projection and attention: their order is that of {@link HeadOrder#SEPARATE} afterwards, heads are normalised, and queries and keys
 * rotated by their positions.
 *
 * @param order of the projection's columns
 * @param norms null for none
 * @param rope null for none
 * @param positions I32 [rows], below the table's positions
 */
public record Heads(AttentionShape shape, HeadOrder order, HeadNorms norms, RopeTable rope, Tensor positions) {
    /** Whether the result takes the projection's place. */
    public boolean isInPlace() {
        return order == HeadOrder.SEPARATE && norms == null;
    }

    /** As in {@code this}, with nothing left to do but the rotation. */
    public Heads rotationAlone() {
        return new Heads(shape, HeadOrder.SEPARATE, null, rope, positions);
    }
}
