package jqlora.model;

import jqlora.ops.Norm;
import jqlora.ops.Parameter;

/**
 * How a family normalises.
 *
 * @param eps added to the mean square before the root
 * @param bias whether its norms have one
 */
public record NormSpec(Kind kind, float eps, boolean bias) {
    /** What is computed, and what the checkpoint's weight means. */
    public enum Kind {
        /** Root mean square. */
        RMS,
        /** Root mean square; the weight is stored as its distance from 1 (Gemma). */
        RMS_FROM_ONE,
        /** Mean and deviation. */
        LAYER
    }

    /** With a bias where it is usual. */
    public NormSpec(Kind kind, float eps) {
        this(kind, eps, kind == Kind.LAYER);
    }

    /** What an untrained model's weight is. */
    float initialWeight() {
        return kind == Kind.RMS_FROM_ONE ? 0 : 1;
    }

    /** @param bias null when there is none */
    Norm of(Parameter weight, Parameter bias) {
        return switch (kind) {
            case RMS -> new Norm.Rms(weight, 0, eps);
            case RMS_FROM_ONE -> new Norm.Rms(weight, 1, eps);
            case LAYER -> new Norm.Layer(weight, bias, eps);
        };
    }
}
