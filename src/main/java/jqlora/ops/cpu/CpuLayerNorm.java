package jqlora.ops.cpu;

import static jqlora.tensor.TensorView.FLOAT;

import java.lang.foreign.MemorySegment;
import jqlora.ops.Norm;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;

/** Layer normalisation of whole rows; each row's mean and inverse deviation lie side by side. */
final class CpuLayerNorm {
    private final CpuOps ops;

    CpuLayerNorm(CpuOps ops) {
        this.ops = ops;
    }

    /** Writes mean and inverse deviation of {@code row}: the mean of squares is that of the deviations, as the difference of two means would cancel. */
    void statistics(MemorySegment x, long row, int hidden, float eps, MemorySegment statistics) {
        RowMath math = ops.math();
        MemorySegment deviations = ops.rowScratch(hidden);
        float mean = math.sum(x, row * hidden, hidden) / hidden;
        math.normalize(x, row * hidden, mean, 1f, null, null, deviations, 0, hidden);
        statistics.set(FLOAT, row * 8, mean);
        statistics.set(FLOAT, row * 8 + 4, (float) (1 / Math.sqrt(math.dot(deviations, 0, deviations, 0, hidden) / hidden + eps)));
    }

    private static float mean(Tensor statistics, long row) {
        return CpuTensor.memory(statistics).get(FLOAT, row * 8);
    }

    private static float rstd(Tensor statistics, long row) {
        return CpuTensor.memory(statistics).get(FLOAT, row * 8 + 4);
    }

    Tensor again(Tensor x, Norm.Layer norm, Tensor statistics) {
        int hidden = (int) x.shape().dim(1);
        Tensor y = ops.allocate(DType.F32, x.shape().toArray());
        try (Tensor weight = CpuNorm.factors(ops, norm); Tensor bias = norm.bias() == null ? null : ops.asFloats(norm.bias().value())) {
            MemorySegment in = CpuTensor.memory(x), out = CpuTensor.memory(y), w = CpuTensor.memory(weight), b = bias == null ? null : CpuTensor.memory(bias);
            ops.workers().ranges(x.shape().dim(0), CpuNorm.GRAIN, (from, to) -> {
                for (long row = from; row < to; row++) {
                    ops.math().normalize(in, row * hidden, mean(statistics, row), rstd(statistics, row), w, b, out, row * hidden, hidden);
                }
            });
        }
        return y;
    }

    void backward(Tensor dX, Tensor dY, Tensor x, Norm.Layer norm, Tensor statistics) {
        int hidden = (int) x.shape().dim(1);
        MemorySegment in = CpuTensor.memory(x), dIn = CpuTensor.memory(dX), dOut = CpuTensor.memory(dY);
        // before dX: that may be dY
        addWeightGradients(dOut, in, norm, statistics, x.shape().dim(0), hidden);
        try (Tensor floats = CpuNorm.factors(ops, norm)) {
            MemorySegment w = CpuTensor.memory(floats);
            ops.workers().ranges(x.shape().dim(0), CpuNorm.GRAIN, (from, to) -> {
                RowMath math = ops.math();
                MemorySegment weighted = ops.rowScratch(2L * hidden), normalized = weighted.asSlice(4L * hidden);
                for (long row = from; row < to; row++) {
                    float rstd = rstd(statistics, row);
                    math.scale(dOut, row * hidden, 1f, w, weighted, 0, hidden);
                    math.normalize(in, row * hidden, mean(statistics, row), rstd, null, null, normalized, 0, hidden);
                    float mean = math.sum(weighted, 0, hidden) / hidden, product = math.dot(weighted, 0, normalized, 0, hidden) / hidden;
                    math.layerNormBackward(dIn, row * hidden, weighted, normalized, rstd, mean, product, hidden);
                }
            });
        }
    }

    /** dWeight += sum over rows of dY (x - mean) rstd, dBias += sum over rows of dY, in the order of the rows. */
    private void addWeightGradients(MemorySegment dY, MemorySegment x, Norm.Layer norm, Tensor statistics, long rows, int hidden) {
        if (!norm.isTrained()) {
            return;
        }
        ops.columns(hidden, (from, count) -> {
            MemorySegment part = ops.rowScratch(count);
            for (long row = 0; row < rows; row++) {
                long at = row * hidden + from;
                if (norm.weight().isTrained()) {
                    ops.math().normalize(x, at, mean(statistics, row), rstd(statistics, row), dY.asSlice(at * 4, count * 4L), null, part, 0, count);
                    ops.math().add(part, 0, CpuTensor.memory(norm.weight().gradient()), from, count);
                }
                if (norm.bias() != null && norm.bias().isTrained()) {
                    ops.math().add(dY, at, CpuTensor.memory(norm.bias().gradient()), from, count);
                }
            }
        });
    }
}
