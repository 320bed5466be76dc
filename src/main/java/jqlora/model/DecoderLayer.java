package jqlora.model;

import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;
import jqlora.ops.Parameter;
import jqlora.tensor.Tensor;

/**
 * One layer:
 *
 * <pre>
 *   sequential    x ──┬── attention ── + ── middle ──┬── MLP ── + ── y
 *                     └────────────────┘             └──────────┘
 *
 *   parallel      x ──┬── attention ── + ──┐
 *                     ├────────────────┘   + ── y
 *                     └── MLP ─────────────┘
 * </pre>
 */
record DecoderLayer(int index, Residual residual, AttentionBranch attention, MlpBranch mlp) implements AutoCloseable {

    /** What the forward leaves for the backward: the layer's input, the stream between sequential branches, and the branches' own. */
    static final class State implements AutoCloseable {
        final Tensor x;
        final AttentionBranch.State attention = new AttentionBranch.State();
        final MlpBranch.State mlp = new MlpBranch.State();
        private Tensor middle;

        State(Tensor x) {
            this.x = x;
        }

        /** Gives back all but the layer's input. */
        private void closeActivations() {
            attention.close();
            mlp.close();
            closeMiddle();
        }

        private void closeMiddle() {
            Pass.close(middle);
            middle = null;
        }

        /** Gives back all that is computed again. */
        void closeAllBut(ActivationBudget.Kept kept) {
            mlp.closeAllButLastInner();
            closeMiddle();
            attention.closeAllButAttended();
            if (kept == ActivationBudget.Kept.INPUT) {
                attention.close();
            }
        }

        /** Bytes of what {@link #closeAllBut} leaves. */
        long bytesKept(ActivationBudget.Kept kept) {
            Stream<Tensor> attended = kept == ActivationBudget.Kept.ATTENTION ? Stream.of(attention.attended, attention.logSumExp) : Stream.of();
            return Stream.concat(Stream.of(x, mlp.lastInner), attended).filter(Objects::nonNull).mapToLong(Tensor::byteSize).sum();
        }

        /** What is there now. */
        List<Tensor> tensors() {
            return Stream.of(Stream.of(x, middle), attention.tensors(), mlp.tensors()).flatMap(part -> part).filter(Objects::nonNull).toList();
        }

        boolean hasActivations() {
            return attention.qkv != null;
        }

        @Override
        public void close() {
            closeActivations();
            x.close();
        }
    }

    /** @return the layer's output; {@code state} holds what the backward needs */
    Tensor forward(Pass pass, State state) {
        Tensor joined = attention.forward(pass, state.x, state.x, state.attention);
        if (residual == Residual.SEQUENTIAL) {
            state.middle = joined;
            return mlp.forward(pass, joined, joined, state.mlp);
        }
        try (joined) {
            return mlp.forward(pass, state.x, joined, state.mlp);
        }
    }

    /** Makes again what {@code state} does not hold of what the forward left in it: the same bits. */
    void recompute(Pass pass, State state) {
        Tensor joined = attention.forward(pass, state.x, state.x, state.attention);
        if (residual == Residual.SEQUENTIAL) {
            state.middle = joined;
            mlp.recompute(pass, joined, joined, state.mlp);
        } else {
            try (joined) {
                mlp.recompute(pass, state.x, joined, state.mlp);
            }
        }
    }

    /** The layer without a backward. */
    Tensor infer(Pass pass, Tensor x) {
        State state = new State(x);
        try {
            return forward(pass, state);
        } finally {
            state.closeActivations();
        }
    }

    /**
     * Gradients of everything trained in the layer are added into; {@code state} is used up.
     *
     * @param d [rows, hidden], read as the gradient of the layer's output, overwritten with that of its input
     * @param between called between the branches, when the MLP's memory has just been given back
     * @param inputWanted whether something below the layer is trained; if not, d is left with an undefined content
     */
    void backward(Pass pass, Tensor d, State state, Runnable between, boolean inputWanted) {
        boolean sequential = residual == Residual.SEQUENTIAL;
        try (Tensor copy = sequential ? null : pass.ops().allocate(d.dtype(), d.shape().toArray())) {
            if (copy != null) {
                pass.ops().copyInto(copy, d);
            }
            Tensor dY = sequential ? d : copy;
            mlp.backward(pass, d, dY, sequential ? state.middle : state.x, state.mlp, sequential || inputWanted);
            state.mlp.close();
            state.closeMiddle();
            between.run();
            attention.backward(pass, d, dY, state.x, state.attention, inputWanted);
        }
    }

    /** In the order of the forward. */
    List<Linear> linears() {
        return Stream.concat(attention.linears().stream(), mlp.linears().stream()).toList();
    }

    /** Weights and biases of norms, each once. */
    List<Parameter> norms() {
        Stream<Parameter> heads = attention.headNorms() == null ? Stream.of() : attention.headNorms().parameters().stream();
        return Stream.of(attention.norms.parameters().stream(), mlp.norms.parameters().stream(), heads).flatMap(part -> part).distinct().toList();
    }

    boolean isTrained() {
        return linears().stream().anyMatch(Linear::isTrained) || norms().stream().anyMatch(Parameter::isTrained);
    }

    @Override
    public void close() {
        linears().forEach(Linear::close);
        norms().forEach(Parameter::close);
    }
}
