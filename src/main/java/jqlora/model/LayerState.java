package jqlora.model;

import java.util.stream.Stream;
import jqlora.tensor.Tensor;

/** What the forward of one layer leaves for its backward. Closing gives back all that is still there. */
final class LayerState implements AutoCloseable {
    /** [rows, hidden], the layer's input. */
    final Tensor x;
    /** F32 [rows], of the two norms. */
    Tensor inputRstd, postAttentionRstd;
    /** [rows, sum of r], what each group's adapters computed; null without adapters. */
    Tensor qkvInner, outputInner, gateUpInner, downInner;
    /** [rows, qkv] before the heads were normalised, and the F32 [rows, heads] of that; null when the family has no head norm. */
    Tensor qkvBeforeNorm, headRstd;
    /** [rows, qkv], rotated. */
    Tensor qkv;
    /** [rows, qHeads headDim] and F32 [rows, qHeads]. */
    Tensor attended, logSumExp;
    /** [rows, hidden], the residual stream between attention and MLP. */
    Tensor middle;
    /** [rows, 2 intermediate]. */
    Tensor gateUp;

    LayerState(Tensor x) {
        this.x = x;
    }

    /** Gives back all but the layer's input. */
    void closeActivations() {
        Stream.of(inputRstd, postAttentionRstd, qkvInner, outputInner, gateUpInner, downInner, qkvBeforeNorm, headRstd, qkv, attended, logSumExp,
                middle, gateUp).filter(tensor -> tensor != null).forEach(Tensor::close);
        qkv = null;
    }

    boolean hasActivations() {
        return qkv != null;
    }

    @Override
    public void close() {
        closeActivations();
        x.close();
    }
}
