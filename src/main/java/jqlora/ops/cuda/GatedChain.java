package jqlora.ops.cuda;

import java.util.List;
import jqlora.ops.Activation;
import jqlora.ops.Input;
import jqlora.ops.LinearWeights;
import jqlora.ops.Link;

/** A gated MLP, backwards: down reads {@code activation(gate) up}, gate and up read a norm. */
record GatedChain(Link down, Link gateUp) {
    /** Null where {@code chain} is something else. */
    static GatedChain of(List<Link> chain) {
        boolean gated = chain.size() == 2 && chain.get(0).input() instanceof Input.Gated && chain.get(0).group().layers().size() == 1
                && chain.get(1).input() instanceof Input.Normed && chain.get(1).group().layers().size() == 2;
        return gated ? new GatedChain(chain.get(0), chain.get(1)) : null;
    }

    Activation activation() {
        return ((Input.Gated) down.input()).activation();
    }

    Input.Normed normed() {
        return (Input.Normed) gateUp.input();
    }

    LinearWeights gateLayer() {
        return gateUp.group().layers().get(0);
    }

    LinearWeights upLayer() {
        return gateUp.group().layers().get(1);
    }

    LinearWeights downLayer() {
        return down.group().layers().getFirst();
    }
}
