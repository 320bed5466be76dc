package jqlora.ops;

import java.util.List;
import java.util.function.Supplier;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;

/**
 * A backend's memory as a {@link Rehearsal} keeps it: what a tensor takes, and what operations take beside their arguments and results. Nothing is
 * taken in truth. Each method for an operation takes what it needs on its way and gives it back.
 */
public interface MemoryAccount {
    /** The backend's, for reports. */
    String name();

    DType computeType();

    /** Another one that begins as this one is now. */
    MemoryAccount copy();

    MemoryUse use();

    void resetPeak();

    /** Counts a tensor as the backend's {@code allocate} would make it now. */
    Block take(DType dtype, Shape shape);

    /** As {@link #take} for a tensor that comes from the host. */
    default Block takeUploaded(DType dtype, Shape shape) {
        return take(dtype, shape);
    }

    void giveBack(Block block);

    /** Whether what is offloaded leaves this memory. */
    boolean isApartFromHost();

    /** Counts memory of the host that is taken for what leaves; minus for what comes back. */
    void moveToHost(long bytes);

    /** @param bytes that it takes */
    record Block(long address, long bytes) { }

    /** {@link Ops#quantize} of numbers of {@code dtype}; {@code result} takes the memory of the weight. */
    Weight.FourBit quantize(DType dtype, Shape shape, Supplier<Weight.FourBit> result);

    /** {@link Ops#linear}; {@code result} takes the memory of the result.
     * @param dropped whether dropout is in force */
    Tensor linear(long rows, List<LinearWeights> group, boolean dropped, Supplier<Tensor> result);

    /** {@link Ops#linearBackward}. */
    void linearBackward(long rows, List<LinearWeights> group, boolean dropped, boolean inputWanted);

    /** {@link Ops#normedLinearBackward}. */
    void normedLinearBackward(long rows, List<LinearWeights> group, boolean dropped, boolean inputWanted);

    /** {@link Ops#gatedLinearBackward}. */
    void gatedLinearBackward(long rows, List<LinearWeights> group, boolean dropped);

    /** {@link Ops#mlpBackward}. */
    default void mlpBackward(long rows, GatedMlp mlp, boolean dropped) {
        gatedLinearBackward(rows, mlp.downAlone(), dropped);
        normedLinearBackward(rows, mlp.gateUp(), dropped, true);
    }

    /** {@link Ops#attention} and, where {@code backward} is set, {@link Ops#attentionBackward}. */
    void attention(AttentionShape shape, Sequences sequences, boolean backward);

    /** {@link Ops#headLoss}.
     * @param labelled rows with a target */
    void headLoss(int labelled, LinearWeights head, boolean inputWanted);

    /** {@link Ops#adamW} or {@link Ops#adamW8bit} with moments that were offloaded. */
    void adamWOffloaded();
}
