package jqlora.model;

import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;
import jqlora.ops.Input;
import jqlora.ops.LinearGroup;
import jqlora.ops.Link;
import jqlora.ops.Norm;
import jqlora.ops.Parameter;
import jqlora.tensor.Tensor;

/**
 * One branch of a layer: it reads the residual stream and is added to it.
 *
 * <pre>
 *   x ── (norm before) ── ... ── last linear layer ── (norm after) ── + residual ── (norm after the sum)
 * </pre>
 *
 * What norms and activations give is not kept: the backward makes it again from what it was made of.
 */
abstract sealed class Branch permits AttentionBranch, MlpBranch {
    /** Null for no norm. */
    record Norms(Norm before, Norm after, Norm afterSum) {
        /** The one behind the branch; null for none. */
        Norm behind() {
            return after == null ? afterSum : after;
        }

        List<Parameter> parameters() {
            return Stream.of(before, after, afterSum).filter(Objects::nonNull).flatMap(norm -> norm.parameters().stream()).toList();
        }
    }

    /** What the forward of a branch leaves for its backward. */
    abstract static class State {
        /** F32, of the norm before and of the one behind. */
        Tensor statistics, statisticsBehind;
        /** [rows, hidden], what the norm behind the branch read; null without one. */
        Tensor unnormed;
        /** [rows, rank], what the adapter of the last linear layer left; null without one. */
        Tensor lastInner;
    }

    final Norms norms;
    private final float scale;

    /** @param scale factor of what the branch adds to the residual stream, usually 1 */
    Branch(Norms norms, float scale) {
        this.norms = norms;
        this.scale = scale;
    }

    /** In the order of the forward. */
    abstract List<Linear> linears();

    static LinearGroup group(List<Linear> layers) {
        return new LinearGroup(layers.stream().map(Linear::weights).toList());
    }

    /** What the first linear layers of the branch read. */
    final Input input(Tensor x, State state) {
        return norms.before == null ? new Input.Kept(x) : new Input.Normed(x, norms.before, state.statistics);
    }

    /** The last linear layer and what is behind it. @return [rows, hidden], with {@code residual} in it */
    final Tensor joined(Pass pass, Input input, Linear last, Tensor residual, State state) {
        LinearGroup group = LinearGroup.of(last.weights());
        state.lastInner = state.lastInner == null ? pass.inner(group) : state.lastInner;
        Link link = new Link(input, group, state.lastInner);
        if (norms.behind() == null && scale == 1) {
            return pass.ops().linear(link, residual, pass.dropout());
        }
        if (norms.behind() == null) {
            Tensor y = pass.ops().linear(link, null, pass.dropout());
            pass.ops().addInPlace(y, scale, residual);
            return y;
        }
        state.unnormed = pass.ops().linear(link, norms.afterSum == null ? null : residual, pass.dropout());
        state.statisticsBehind = pass.statistics(norms.behind());
        Tensor y = pass.ops().compute(new Input.Normed(state.unnormed, norms.behind(), state.statisticsBehind));
        if (norms.after != null) {
            pass.ops().addInPlace(y, scale, residual);
        }
        return y;
    }

    /**
     * The backward of the norm behind the branch.
     *
     * @param dX the gradient of the residual; overwritten where that too was normalised
     * @return the gradient of what the last linear layer gives: dY itself, or new
     */
    final Tensor behind(Pass pass, Tensor dX, Tensor dY, State state) {
        if (norms.behind() == null && scale == 1) {
            return dY;
        }
        if (norms.behind() == null) {
            return scaled(pass, dY);
        }
        Tensor gradient = pass.ops().zeros(dY.dtype(), dY.shape().toArray());
        try (Tensor dNormed = scale == 1 ? null : scaled(pass, dY)) {
            pass.ops().computeBackward(gradient, dNormed == null ? dY : dNormed, new Input.Normed(state.unnormed, norms.behind(), state.statisticsBehind));
        }
        if (norms.afterSum != null && dX != null) {
            pass.ops().copyInto(dX, gradient);
        }
        return gradient;
    }

    private Tensor scaled(Pass pass, Tensor gradient) {
        Tensor copy = pass.ops().allocate(gradient.dtype(), gradient.shape().toArray());
        pass.ops().copyInto(copy, gradient);
        pass.ops().addInPlace(copy, scale, null);
        return copy;
    }

    /** The backward of a chain whose last link reads the branch's input: its gradient is added into dX. */
    final void chainBackward(Pass pass, Tensor dX, Tensor dY, List<Link> chain) {
        if (dX == null || norms.before != null) {
            pass.ops().linearBackward(dX, dY, chain, pass.dropout());
            return;
        }
        try (Tensor own = pass.ops().allocate(dX.dtype(), dX.shape().toArray())) {
            pass.ops().linearBackward(own, dY, chain, pass.dropout());
            pass.ops().addInPlace(dX, own);
        }
    }
}
