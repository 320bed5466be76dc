package jqlora.ops;

import java.util.List;

/** The second half of a layer: {@code x + down(activation(gate(normed)) up(normed))} with {@code normed} the norm of x. */
public record GatedMlp(Norm norm, LinearWeights gate, LinearWeights up, Activation activation, LinearWeights down) {
    /** The layers that read the normalised x. */
    public List<LinearWeights> gateUp() {
        return List.of(gate, up);
    }

    /** The layer that reads the activation, as a group. */
    public List<LinearWeights> downAlone() {
        return List.of(down);
    }
}
