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

    /**
     * {@link Ops#linear} of what is kept; {@code result} takes the memory of the result.
     *
     * @param dropped whether dropout is in force
     */
    Tensor linear(long rows, LinearGroup group, boolean dropped, Supplier<Tensor> result);

    /** {@link Ops#linearBackward} of one link. @param inputWanted whether a gradient of it is made */
    void linearBackward(long rows, Link link, boolean dropped, boolean inputWanted);

    /** {@link Ops#linearBackward} of several links. */
    default void linearBackward(long rows, List<Link> chain, Dropout dropout, boolean inputWanted) {
        for (int i = 0; i < chain.size(); i++) {
            Link link = chain.get(i);
            boolean trained = link.input() instanceof Input.Normed normed && normed.norm().isTrained();
            linearBackward(rows, link, link.group().isDropped(dropout), inputWanted || trained || i < chain.size() - 1);
        }
    }

    /** {@link Ops#attention} and, where {@code backward} is set, {@link Ops#attentionBackward}. */
    void attention(AttentionShape shape, Sequences sequences, boolean backward);

    /** {@link Ops#headLoss}.
     * @param labelled rows with a target */
    void headLoss(int labelled, OutputHead head, boolean inputWanted);

    /** {@link Ops#adamW} or {@link Ops#adamW8bit} with moments that were offloaded. */
    void adamWOffloaded();
}
