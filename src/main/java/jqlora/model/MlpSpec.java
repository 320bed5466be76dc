package jqlora.model;

import jqlora.ops.Activation;

/**
 * A gated MLP: {@code down_proj(activation(gate_proj(x)) up_proj(x))}.
 *
 * @param bias whether the three layers have a bias
 */
public record MlpSpec(int intermediateSize, boolean bias, Activation activation) {
    public MlpSpec {
        if (intermediateSize < 1) {
            throw new IllegalArgumentException("mlp: intermediateSize is " + intermediateSize + ", it must be at least 1");
        }
    }
}
