package jqlora.ops;

import java.util.List;
import jqlora.tensor.Tensor;

/**
 * Forward and backward of the parts of a decoder, side by side. Activations are of the compute type, [rows, ...]; a backward says for each gradient whether it is overwritten or added into,
 * null for a gradient means that nobody wants it. Gradients of whatever is trained are added into.
 */
public interface LayerOps {
    // ---- embedding

    /**
     * Rows of the table times {@code scale}, rounded once.
     *
     * @param table [vocab, hidden], F32, BF16 or F16
     * @param ids I32 [rows]
     * @param first the row of id 0
     * @return [rows, hidden]
     * @throws IllegalArgumentException if an id is outside the table, where the backend can tell without waiting for the device
     */
    Tensor embedding(Tensor table, Tensor ids, int first, float scale);

    /** From row 0 on. */
    default Tensor embedding(Tensor table, Tensor ids, float scale) {
        return embedding(table, ids, 0, scale);
    }

    /** Rows of the table. */
    default Tensor embedding(Tensor table, Tensor ids) {
        return embedding(table, ids, 1f);
    }

    /**
     * @param dTable F32 [vocab, hidden], <em>added into</em>
     * @param scale as in the forward
     */
    void embeddingBackward(Tensor dTable, Tensor dY, Tensor ids, int first, float scale);

    /** {@code x = factor x + y}, compute type or F32; y may be null. */
    void addInPlace(Tensor x, float factor, Tensor y);

    /** {@code x += y}. */
    default void addInPlace(Tensor x, Tensor y) {
        addInPlace(x, 1, y);
    }

    // ---- linear layers and what they read

    /** What {@code input} stands for, [rows, columns]. */
    Tensor compute(Input input);

    /**
     * @param dX like the input's x: <em>added into</em> where that is normed, else overwritten; it may be dY, or, where it is overwritten, x
     * @param dY [rows, columns], read
     * @throws IllegalArgumentException if nothing is computed, since the input is kept as it is
     */
    void computeBackward(Tensor dX, Tensor dY, Input input);

    /**
     * Linear layers with one input, their results side by side, see {@link Link}.
     *
     * @param added [rows, outFeatures of the group], summed with the result; null for nothing
     * @return [rows, outFeatures of the group]
     */
    Tensor linear(Link link, Tensor added, Dropout dropout);

    /**
     * The backward of a chain of links, from its last to its first: each reads what the next one gives, whose place the gradient takes. A backend may do several in one where it knows how.
     *
     * @param dX of the x of the first link, the last of {@code chain}, as {@link Input} says; it may be dY where it is added into. Null when nothing below is trained
     * @param dY [rows, outFeatures of the first group of {@code chain}], read
     * @param chain the last link first; the x of every input but the last one's is overwritten
     */
    void linearBackward(Tensor dX, Tensor dY, List<Link> chain, Dropout dropout);

    // ---- attention

    /**
     * Brings queries, keys and values into attention's order, normalises heads, rotates.
     *
     * @param fused [rows, qkv], what the projection gives; changed if {@link Heads#isInPlace()}, else read
     * @param rstd F32 [rows, query and key heads], overwritten; null without norms
     * @return [rows, qkv]: {@code fused} if in place, else new
     */
    Tensor heads(Tensor fused, Heads heads, Tensor rstd);

    /**
     * @param dQkv [rows, qkv], the gradient of the result, overwritten
     * @param fused as it was before the forward; null without norms
     * @return the gradient of {@code fused}: dQkv itself, or new where the order is another
     */
    Tensor headsBackward(Tensor dQkv, Tensor fused, Heads heads, Tensor rstd);

    /**
     * {@code softmax(scale Q K^T, causal) V} within each sequence.
     *
     * @param qkv [rows, qkv]
     * @param logSumExp F32 [rows, qHeads], overwritten: the logarithm of the softmax's denominator; null when there is no backward
     * @return [rows, qHeads headDim]
     * @see <a href="https://arxiv.org/abs/2307.08691">FlashAttention-2</a>
     */
    Tensor attention(Tensor qkv, AttentionShape shape, Sequences sequences, Tensor logSumExp);

    /**
     * @param dQkv [rows, qkv], overwritten
     * @param dY [rows, qHeads headDim], read
     * @param y as the forward returned it
     */
    void attentionBackward(Tensor dQkv, Tensor dY, Tensor qkv, Tensor y, Tensor logSumExp, AttentionShape shape, Sequences sequences);

    // ---- output layer

    /**
     * The scores of all tokens, [rows, vocab].
     *
     * @param x [rows, hidden]
     */
    Tensor scores(Tensor x, OutputHead head);

    /**
     * Output layer and cross-entropy in one, in chunks of rows, so that the logits of a whole batch are never there at once. Rows
     * without a target cost nothing.
     *
     * @param x [rows, hidden]
     * @param head [vocab, hidden]; its gradients are added into when it is trained and dX is wanted
     * @param targets the id that each row must predict, -100 for none; host array
     * @param scale factor of every gradient, such as 1 / labelled tokens of the accumulation window
     * @param lossSum F64 [1], <em>added into</em>: the sum, not scaled, of -log p(target)
     * @param dX [rows, hidden], overwritten; null for the loss alone
     */
    void headLoss(Tensor x, OutputHead head, int[] targets, double scale, Tensor lossSum, Tensor dX);
}
