package jqlora.model;

import java.util.Objects;

/**
 * What the forward may keep for the backward. Layers keep all their activations as long as the budget has bytes for it, the last ones first; the others
 * keep little, and the backward computes the rest again. The result has the same bits either way.
 *
 * @param bytes of the device's memory for what all layers keep
 * @param kept what a layer keeps that does not keep all
 * @param place where it keeps that
 * @see <a href="https://arxiv.org/abs/1604.06174">Training deep nets with sublinear memory cost</a>
 */
public record ActivationBudget(long bytes, Kept kept, Place place) {
    /** What a layer keeps that does not keep all. */
    public enum Kept {
        /** Its input: the least memory. */
        INPUT,
        /** Its input and the result of attention, which is the dearest to compute again where sequences are long. */
        ATTENTION
    }

    /** Where a layer that does not keep all keeps what it keeps. */
    public enum Place {
        /** Where it is computed. */
        DEVICE,
        /** In the host's memory: it is copied there and back while layers are computed. */
        HOST
    }

    public ActivationBudget {
        if (bytes < 0) {
            throw new IllegalArgumentException("activation budget: " + bytes + " bytes, it must not be negative");
        }
        Objects.requireNonNull(kept, "kept");
        Objects.requireNonNull(place, "place");
    }

    /** Layers that do not fit into {@code bytes} keep their input only, where it is. */
    public ActivationBudget(long bytes) {
        this(bytes, Kept.INPUT, Place.DEVICE);
    }

    /** Every layer keeps its activations. */
    public static ActivationBudget keepAll() {
        return new ActivationBudget(Long.MAX_VALUE);
    }

    /** Every layer is computed again: gradient checkpointing. */
    public static ActivationBudget recomputeAll() {
        return new ActivationBudget(0);
    }

    public ActivationBudget withBytes(long bytes) {
        return new ActivationBudget(bytes, kept, place);
    }

    public ActivationBudget withKept(Kept kept) {
        return new ActivationBudget(bytes, kept, place);
    }

    public ActivationBudget withPlace(Place place) {
        return new ActivationBudget(bytes, kept, place);
    }

    /**
     * How many layers may keep all their activations.
     *
     * @param layers of the model
     * @param restBytes of the device that a layer takes which does not
     * @param moreBytes that a layer takes beyond them if it does
     */
    int layersKept(int layers, long restBytes, long moreBytes) {
        long left = bytes - layers * restBytes;
        return left <= 0 ? 0 : (int) Math.min(layers, left / Math.max(1, moreBytes));
    }

    /** Such as {@code all activations kept} or {@code every layer computed again but for attention, from the host's memory}. */
    @Override
    public String toString() {
        if (bytes == Long.MAX_VALUE) {
            return "all activations kept";
        }
        return (bytes == 0 ? "every layer" : bytes + " bytes of activations kept, other layers") + " computed again" + (kept == Kept.ATTENTION ? " but for attention" : "")
                + (place == Place.HOST ? ", from the host's memory" : "");
    }
}
