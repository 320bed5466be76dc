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
        LAYER,
        /** Mean and deviation; the weight is stored as its distance from 1 (Nemotron). */
        LAYER_FROM_ONE
    }

    /** With a bias where it is usual. */
    public NormSpec(Kind kind, float eps) {
        this(kind, eps, kind == Kind.LAYER || kind == Kind.LAYER_FROM_ONE);
    }

    /** What is added to the stored weight. */
    float weightOffset() {
        return kind == Kind.RMS_FROM_ONE || kind == Kind.LAYER_FROM_ONE ? 1 : 0;
    }

    /** What an untrained model's weight is. */
    float initialWeight() {
        return 1 - weightOffset();
    }

    /** @param bias null when there is none */
    Norm of(Parameter weight, Parameter bias) {
        return switch (kind) {
            case RMS, RMS_FROM_ONE -> new Norm.Rms(weight, weightOffset(), eps);
            case LAYER, LAYER_FROM_ONE -> new Norm.Layer(weight, bias, weightOffset(), eps);
        };
    }
}
