package jqlora.ops.cpu;

import java.util.function.Supplier;
import jqlora.ops.AttentionShape;
import jqlora.ops.Input;
import jqlora.ops.LinearGroup;
import jqlora.ops.Link;
import jqlora.ops.MemoryAccount;
import jqlora.ops.MemoryUse;
import jqlora.ops.OutputHead;
import jqlora.ops.Sequences;
import jqlora.ops.Weight;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;

/** What operations on the processor take: float32 throughout, what {@link MemoryPool} counts. */
final class CpuAccount implements MemoryAccount {
    private long inUse, peak, reserved;

    /** @param now what is in use already */
    CpuAccount(MemoryUse now) {
        inUse = now.bytesInUse();
        peak = inUse;
        reserved = now.reservedBytes();
    }

    @Override
    public String name() {
        return "cpu";
    }

    @Override
    public DType computeType() {
        return DType.F32;
    }

    @Override
    public CpuAccount copy() {
        return new CpuAccount(use());
    }

    @Override
    public MemoryUse use() {
        return new MemoryUse(inUse, peak, reserved, Long.MAX_VALUE, 0);
    }

    @Override
    public void resetPeak() {
        peak = inUse;
    }

    private void count(long bytes) {
        inUse += bytes;
        peak = Math.max(peak, inUse);
        reserved = Math.max(reserved, inUse);
    }

    /** Bytes for as long as a step of an operation takes. */
    private void pass(long floats) {
        count(4 * floats);
        count(-4 * floats);
    }

    @Override
    public Block take(DType dtype, Shape shape) {
        long bytes = dtype.byteSize(shape.size());
        count(bytes);
        return new Block(0, bytes);
    }

    @Override
    public void giveBack(Block block) {
        count(-block.bytes());
    }

    /** The tensors are in the host's memory already. */
    @Override
    public boolean isApartFromHost() {
        return false;
    }

    @Override
    public void moveToHost(long bytes) { }

    @Override
    public Weight.FourBit quantize(DType dtype, Shape shape, Supplier<Weight.FourBit> result) {
        return result.get();
    }

    @Override
    public Tensor linear(long rows, LinearGroup group, boolean dropped, Supplier<Tensor> result) {
        Tensor y = result.get();
        pass(dropped ? rows * group.inFeatures() : 0);
        return y;
    }

    @Override
    public void linearBackward(long rows, Link link, boolean dropped, boolean inputWanted) {
        long matrices = link.input() instanceof Input.Kept ? 0 : inputWanted ? 2 : 1;      // what the layers read, made again, and its gradient
        count(4 * matrices * rows * link.group().inFeatures());
        linearBackward(rows, link.group(), dropped, inputWanted);
        count(-4 * matrices * rows * link.group().inFeatures());
    }

    private void linearBackward(long rows, LinearGroup group, boolean dropped, boolean inputWanted) {
        long rank = group.layers().stream().mapToLong(linear -> linear.lora() == null ? 0 : linear.lora().r()).max().orElse(0);
        pass(rows * rank + (dropped ? rows * group.inFeatures() * (inputWanted ? 2 : 1) : 0));
    }

    @Override
    public void attention(AttentionShape shape, Sequences sequences, boolean backward) { }

    @Override
    public void headLoss(int labelled, OutputHead head, boolean inputWanted) {
        LinearGroup group = LinearGroup.of(head.weights());
        int rows = Math.min(labelled, CpuLoss.chunkRows(labelled, group.outFeatures()));
        long hidden = group.inFeatures(), part = rows * (hidden + group.rank() + group.outFeatures());
        pass(part);
        if (inputWanted) {
            count(4 * (part + rows * hidden));
            linearBackward(rows, group, false, true);
            count(-4 * (part + rows * hidden));
        }
    }

    @Override
    public void adamWOffloaded() { }
}
