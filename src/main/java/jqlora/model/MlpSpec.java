package jqlora.model;

import java.util.List;
import jqlora.ops.Activation;

/**
 * The MLP branch of a layer: {@code down(activation(up(x)))}, or gated {@code down(activation(gate(x)) up(x))}.
 *
 * @param up what reads the branch's input: gated, gate and up, or one layer that gives both, all gates first
 */
public record MlpSpec(int intermediateSize, Activation activation, boolean gated, List<Projection> up, Projection down, BranchNorms norms) {
    public MlpSpec {
        up = List.copyOf(up);
        if (intermediateSize < 1) {
            throw new IllegalArgumentException("mlp: intermediateSize is " + intermediateSize + ", it must be at least 1");
        }
    }

    /** Columns of what each layer of {@link #up} gives. */
    int upFeatures() {
        return intermediateSize * (gated ? 2 : 1) / up.size();
    }
}
