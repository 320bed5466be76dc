package jqlora.model;

/**
 * How many bytes of activations the forward may keep for the backward. Layers that do not fit keep their input only and are
 * computed again; the result has the same bits either way.
 *
 * @see <a href="https://arxiv.org/abs/1604.06174">Training deep nets with sublinear memory cost</a>
 */
public record ActivationBudget(long bytes) {
    public ActivationBudget {
        if (bytes < 0) {
            throw new IllegalArgumentException("activation budget: " + bytes + " bytes, it must not be negative");
        }
    }

    /** Every layer keeps its activations. */
    public static ActivationBudget keepAll() {
        return new ActivationBudget(Long.MAX_VALUE);
    }

    /** Every layer is computed again: gradient checkpointing. */
    public static ActivationBudget recomputeAll() {
        return new ActivationBudget(0);
    }

    /**
     * How many layers may keep their activations.
     *
     * @param layers of the model
     * @param inputBytes that every layer keeps in any case
     * @param activationBytes that a layer keeps beyond its input
     */
    int layersKept(int layers, long inputBytes, long activationBytes) {
        long forActivations = bytes - layers * inputBytes;
        return forActivations <= 0 ? 0 : (int) Math.min(layers, forActivations / Math.max(1, activationBytes));
    }
}
