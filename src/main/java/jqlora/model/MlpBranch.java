package jqlora.model;

import java.util.List;
import java.util.stream.Stream;
import jqlora.ops.Activation;
import jqlora.ops.Input;
import jqlora.ops.LinearGroup;
import jqlora.ops.Link;
import jqlora.tensor.Tensor;

/**
 * The MLP:
 *
 * <pre>
 *   x ── (norm) ── gate, up ── activation(gate) up ── down            or            x ── (norm) ── up ── activation ── down
 * </pre>
 */
final class MlpBranch extends Branch {
    /** What the forward leaves for the backward. */
    static final class State extends Branch.State {
        /** [rows, rank], of the adapters of gate and up; null without adapters. */
        Tensor upInner;
        /** [rows, 2 intermediate] with a gate, else [rows, intermediate]. */
        Tensor up;

        Stream<Tensor> tensors() {
            return Stream.of(statistics, statisticsBehind, unnormed, lastInner, upInner, up);
        }

        /** Gives back all but what the last adapter left, so that the branch's result need not be computed again for it. */
        void closeAllButLastInner() {
            Pass.close(statistics, statisticsBehind, unnormed, upInner, up);
            statistics = statisticsBehind = unnormed = upInner = up = null;
        }

        void close() {
            closeAllButLastInner();
            Pass.close(lastInner);
            lastInner = null;
        }
    }

    private final List<Linear> up;
    private final Activation activation;
    private final boolean gated;
    private final Linear down;

    MlpBranch(Norms norms, float scale, List<Linear> up, Activation activation, boolean gated, Linear down) {
        super(norms, scale);
        this.up = up;
        this.activation = activation;
        this.gated = gated;
        this.down = down;
    }

    @Override
    List<Linear> linears() {
        return Stream.concat(up.stream(), Stream.of(down)).toList();
    }

    private Input activated(State state) {
        return gated ? new Input.Gated(state.up, activation) : new Input.Activated(state.up, activation);
    }

    /** @return {@code residual} plus the branch's result; {@code state} holds what the backward needs */
    Tensor forward(Pass pass, Tensor x, Tensor residual, State state) {
        upForward(pass, x, state);
        return joined(pass, activated(state), down, residual, state);
    }

    private void upForward(Pass pass, Tensor x, State state) {
        state.statistics = pass.statistics(norms.before());
        LinearGroup group = group(up);
        state.upInner = pass.inner(group);
        state.up = pass.ops().linear(new Link(input(x, state), group, state.upInner), null, pass.dropout());
    }

    /** Makes again what {@code state} does not hold, the same bits; the branch's result only where a norm behind it needs it. */
    void recompute(Pass pass, Tensor x, Tensor residual, State state) {
        upForward(pass, x, state);
        if (norms.behind() != null) {
            joined(pass, activated(state), down, residual, state).close();
        }
    }

    /** As {@link AttentionBranch#backward}. */
    void backward(Pass pass, Tensor dX, Tensor dY, Tensor x, State state, boolean inputWanted) {
        Tensor dLast = behind(pass, dX, dY, state);
        Link last = new Link(activated(state), LinearGroup.of(down.weights()), state.lastInner), first = new Link(input(x, state), group(up), state.upInner);
        chainBackward(pass, inputWanted ? dX : null, dLast, List.of(last, first));
        if (dLast != dY) {
            dLast.close();
        }
    }
}
