package jqlora.ops.cpu;

import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;

/** Another tensor's memory under a handle whose closing does nothing. */
record BorrowedTensor(Tensor owner) implements Tensor {
    @Override
    public DType dtype() {
        return owner.dtype();
    }

    @Override
    public Shape shape() {
        return owner.shape();
    }

    @Override
    public void close() { }
}
