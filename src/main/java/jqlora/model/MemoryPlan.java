package jqlora.model;

import java.util.Locale;
import jqlora.ops.MemoryUse;
import jqlora.ops.Sequences;

/**
 * What training on one micro-batch will take.
 *
 * @param sequences of the micro-batch
 * @param standingBytes bytes of the tensors that stay: weights, adapters, gradients, moments
 * @param use the memory at the end of a step: its peak is the step's, its reserved bytes are the most that are taken
 */
public record MemoryPlan(Sequences sequences, ActivationBudget activations, long standingBytes, MemoryUse use) {
    /** The most bytes of tensors at once. */
    public long peakBytes() {
        return use.peakBytes();
    }

    /** The most bytes that are taken, buffers of operations and gaps between tensors included. */
    public long takenBytes() {
        return use.reservedBytes();
    }

    /** Bytes of the host's memory for what is moved there. */
    public long hostBytes() {
        return use.hostBytes();
    }

    public boolean fits() {
        return takenBytes() <= use.limitBytes();
    }

    /** Such as {@code 4 sequences, 8192 tokens: 8.31 GB, of which 6.04 GB stay, and 2.15 GB of the host's memory}. */
    @Override
    public String toString() {
        String host = hostBytes() == 0 ? "" : String.format(Locale.ROOT, ", and %.2f GB of the host's memory", hostBytes() / 1e9);
        return String.format(Locale.ROOT, "%s: %.2f GB, of which %.2f GB stay%s", sequences, takenBytes() / 1e9, standingBytes / 1e9, host);
    }
}
