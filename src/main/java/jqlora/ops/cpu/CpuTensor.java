package jqlora.ops.cpu;

import java.lang.foreign.MemorySegment;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;

/** A tensor in the pool's memory. */
final class CpuTensor implements Tensor {
    private final DType dtype;
    private final Shape shape;
    private final MemoryPool pool;
    private MemoryPool.Block block;
    private MemorySegment segment;

    CpuTensor(MemoryPool pool, DType dtype, Shape shape) {
        this.pool = pool;
        this.dtype = dtype;
        this.shape = shape;
        block = pool.take(dtype.byteSize(shape.size()));
        segment = block.segment();
    }

    /** The memory of {@code tensor}, which must be of this backend and open. */
    static MemorySegment memory(Tensor tensor) {
        if (tensor instanceof BorrowedTensor(Tensor owner)) {
            return memory(owner);
        }
        if (!(tensor instanceof CpuTensor cpu)) {
            throw new IllegalArgumentException("cpu: a tensor of another backend: " + tensor);
        }
        if (cpu.segment == null) {
            throw new IllegalStateException("cpu: tensor " + cpu + " is closed");
        }
        return cpu.segment;
    }

    @Override
    public DType dtype() {
        return dtype;
    }

    @Override
    public Shape shape() {
        return shape;
    }

    @Override
    public void close() {
        if (segment != null) {
            segment = null;
            pool.giveBack(block);
            block = null;
        }
    }

    /** Such as {@code F32 [2, 3] on cpu}. */
    @Override
    public String toString() {
        return dtype + " " + shape + " on cpu";
    }
}
