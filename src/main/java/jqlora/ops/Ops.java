package jqlora.ops;

import jqlora.tensor.Processors;

/**
 * The operations of a decoder on one device. Gradients are explicit, there is no tape: what a backward needs is passed to it, so the
 * caller decides what is kept and what is computed again. The same inputs give the same bits, call after call.
 *
 * <p>Every tensor that a method returns is new and belongs to the caller. Shapes: see the package. A backward says for each gradient
 * whether it is overwritten or added into; null for a gradient means that nobody wants it.
 *
 * <p>Arguments of another shape or type than the ones given fail with a {@link jqlora.tensor.ShapeException} or another
 * {@link IllegalArgumentException} before anything is computed; {@link CheckedOps} sees to that for every backend.
 */
public interface Ops extends Store, LayerOps, DecodingOps, UpdateOps, AutoCloseable {
    /** Such as {@code cpu}. */
    String name();

    /** What computes, for reports: such as {@code Vector API, 512 bits, 2 threads} or {@code NVIDIA H200 (sm_90)}. */
    String description();

    /** How many threads of the processor may work for this backend, as on a weight while it is loaded. */
    default int threads() {
        return Processors.ofProcess().threads();
    }

    /** The numbers that products read, for saved runs, which go on in the same ones: the compute type, and what is computed in others. */
    default String arithmetic() {
        return computeType().name();
    }

    MemoryUse memory();

    /** Makes the bytes now in use the peak. */
    void resetPeak();

    /** A twin of this backend that computes nothing and counts what it would take, beginning with what is in use now. */
    Rehearsal rehearsal();

    /** Frees the device's memory; no tensor of this backend may be used afterwards. */
    @Override
    void close();
}
