package jqlora.model;

import java.lang.foreign.MemorySegment;
import jqlora.tensor.ContentHash;
import jqlora.tensor.TensorView;

/**
 * An adapter's update of one layer that is in the layer's weight. It has its own copy of the numbers, so that a later merge from the checkpoint can add it again.
 *
 * @param adapter what the adapter calls itself, for messages
 * @param route how it was merged, with the seed of what was drawn at random
 * @param a F32 [r, inFeatures], in host memory
 * @param b F32 [outFeatures, r], in host memory
 * @param scaling factor of B A
 */
public record MergedUpdate(String adapter, String route, TensorView a, TensorView b, float scaling) {
    /** Tells the numbers of one update from those of another. */
    public String print() {
        return String.format("%016x %016x %08x", ContentHash.of(a.data()), ContentHash.of(b.data()), Float.floatToRawIntBits(scaling));
    }

    /** Whether it changes nothing: B is zero, as before any training. */
    public boolean isZero() {
        return b.data().mismatch(MemorySegment.ofArray(new byte[Math.toIntExact(b.data().byteSize())])) < 0;
    }

    /** Such as {@code r 8, alpha 16, q_proj, v_proj by ONTO_BASE}. */
    @Override
    public String toString() {
        return adapter + " by " + route;
    }
}
