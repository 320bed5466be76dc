package jqlora.model;

import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;
import jqlora.tensor.Tensor;

/** What the forward of one layer leaves for its backward. Closing gives back all that is still there. */
final class LayerState implements AutoCloseable {
    /** [rows, hidden], the layer's input. */
    final Tensor x;
    /** F32, of the two norms. */
    Tensor inputStatistics, postAttentionStatistics;
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
        closeMlp();
        close(downInner, attended, logSumExp);
        downInner = attended = logSumExp = null;
        closeAttention();
    }

    /** Gives back what the backward of the MLP alone reads; afterwards, that of attention can still be computed. */
    void closeMlp() {
        close(postAttentionStatistics, gateUpInner, middle, gateUp);
        postAttentionStatistics = gateUpInner = middle = gateUp = null;
    }

    private void closeAttention() {
        close(inputStatistics, qkvInner, outputInner, qkvBeforeNorm, headRstd, qkv);
        inputStatistics = qkvInner = outputInner = qkvBeforeNorm = headRstd = qkv = null;
    }

    /**
     * Gives back all that is computed again: what is left is the input, what the adapter of the last linear layer computed, so that the layer's output
     * need not be computed again for it, and where it is wanted the result of attention.
     */
    void closeAllBut(ActivationBudget.Kept kept) {
        closeMlp();
        closeAttention();
        if (kept == ActivationBudget.Kept.INPUT) {
            close(attended, logSumExp);
            attended = logSumExp = null;
        }
    }

    /** Bytes of what {@link #closeAllBut} leaves. */
    long bytesKept(ActivationBudget.Kept kept) {
        Stream<Tensor> attention = kept == ActivationBudget.Kept.ATTENTION ? Stream.of(attended, logSumExp) : Stream.of();
        return Stream.concat(Stream.of(x, downInner), attention).filter(Objects::nonNull).mapToLong(Tensor::byteSize).sum();
    }

    /** What is there now. */
    List<Tensor> tensors() {
        return Stream.of(x, inputStatistics, postAttentionStatistics, qkvInner, outputInner, gateUpInner, downInner, qkvBeforeNorm, headRstd, qkv, attended, logSumExp, middle, gateUp)
                .filter(Objects::nonNull).toList();
    }

    boolean hasActivations() {
        return qkv != null;
    }

    private static void close(Tensor... tensors) {
        for (Tensor tensor : tensors) {
            if (tensor != null) {
                tensor.close();
            }
        }
    }

    @Override
    public void close() {
        closeActivations();
        x.close();
    }
}
