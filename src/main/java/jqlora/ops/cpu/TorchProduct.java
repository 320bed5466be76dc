package jqlora.ops.cpu;

import ai.djl.Device;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jqlora.tensor.TensorView;
import jqlora.tensor.Workers;

/**
 * Products on PyTorch, through DJL. Both factors are made whole first (a 4-bit weight is decoded), in memory that PyTorch
 * reads without copying. PyTorch chooses the order of a sum by the shape of the whole product, so a row may have other last bits alone
 * than among others; and by the number of its threads, which is therefore left to it: one for each processor, whatever ours is.
 */
final class TorchProduct implements Product {
    private final Workers workers;

    TorchProduct(Workers workers) {
        this.workers = workers;
    }

    @Override
    public String description() {
        return "PyTorch " + ai.djl.engine.Engine.getEngine("PyTorch").getVersion();
    }

    @Override
    public void multiply(Factor a, Factor b, Target c, float scale, boolean accumulate) {
        int m = a.rows(), n = b.columns();
        try (Arena arena = Arena.ofShared(); NDManager manager = NDManager.newBaseManager(Device.cpu(), "PyTorch");
                NDArray left = array(manager, arena, a); NDArray right = array(manager, arena, b); NDArray result = left.matMul(right)) {
            float[] values = result.toFloatArray();
            workers.ranges(m, 16, (first, last) -> {
                for (int row = (int) first; row < last; row++) {
                    long at = (c.first() + row * c.stride()) * 4;
                    for (int column = 0; column < n; column++, at += 4) {
                        float value = scale * values[row * n + column];
                        c.memory().set(TensorView.FLOAT, at, accumulate ? c.memory().get(TensorView.FLOAT, at) + value : value);
                    }
                }
            });
        }
    }

    private NDArray array(NDManager manager, Arena arena, Factor factor) {
        MatrixSource source = factor.source();
        MemorySegment whole = arena.allocate(4L * source.rows() * source.columns(), 64);
        workers.ranges(source.rows(), 16, (from, to) -> {
            float[] row = new float[source.columns()];
            for (long i = from; i < to; i++) {
                source.read((int) i, 0, row.length, row, 0);
                MemorySegment.copy(row, 0, whole, TensorView.FLOAT, i * row.length * 4, row.length);
            }
        });
        NDArray array = manager.create(whole.asByteBuffer().order(ByteOrder.nativeOrder()), new Shape(source.rows(), source.columns()), DataType.FLOAT32);
        return factor.transposed() ? array.transpose() : array;
    }
}
