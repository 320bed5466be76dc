package jqlora.ops.cpu;

import static jqlora.tensor.TensorView.FLOAT;

import java.lang.foreign.MemorySegment;
import java.util.List;
import jqlora.ops.AttentionShape;
import jqlora.ops.HeadNorms;
import jqlora.ops.Norm;
import jqlora.ops.Parameter;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;

/** Normalisation of whole rows, and of the heads within a row; {@link CpuLayerNorm} has layer normalisation. */
final class CpuNorm {
    static final int GRAIN = 16;                                 // rows that one task takes at least

    private final CpuOps ops;
    private final CpuLayerNorm layers;

    CpuNorm(CpuOps ops) {
        this.ops = ops;
        this.layers = new CpuLayerNorm(ops);
    }

    Tensor forward(Tensor x, Norm norm, Tensor statistics) {
        int hidden = (int) x.shape().dim(1);
        MemorySegment in = CpuTensor.memory(x), out = CpuTensor.memory(statistics);
        ops.workers().ranges(x.shape().dim(0), GRAIN, (from, to) -> {
            for (long row = from; row < to; row++) {
                switch (norm) {
                    case Norm.Rms rms -> out.set(FLOAT, row * 4, inverseDeviation(in, row * hidden, hidden, rms.eps()));
                    case Norm.Layer layer -> layers.statistics(in, row, hidden, layer.eps(), out);
                }
            }
        });
        return again(x, norm, statistics);
    }

    private float inverseDeviation(MemorySegment x, long at, int count, float eps) {
        return (float) (1 / Math.sqrt(ops.math().dot(x, at, x, at, count) / count + eps));
    }

    Tensor again(Tensor x, Norm norm, Tensor statistics) {
        return switch (norm) {
            case Norm.Rms rms -> again(x, rms, statistics);
            case Norm.Layer layer -> layers.again(x, layer, statistics);
        };
    }

    private Tensor again(Tensor x, Norm.Rms norm, Tensor rstd) {
        int hidden = (int) x.shape().dim(1);
        Tensor y = ops.allocate(DType.F32, x.shape().toArray());
        try (Tensor floats = factors(ops, norm)) {
            MemorySegment in = CpuTensor.memory(x), out = CpuTensor.memory(y), w = CpuTensor.memory(floats), inverse = CpuTensor.memory(rstd);
            ops.workers().ranges(x.shape().dim(0), GRAIN, (from, to) -> {
                for (long row = from; row < to; row++) {
                    ops.math().scale(in, row * hidden, inverse.get(FLOAT, row * 4), w, out, row * hidden, hidden);
                }
            });
        }
        return y;
    }

    /** {@code weightOffset + weight} as F32. */
    static Tensor factors(CpuOps ops, Norm norm) {
        Tensor weight = norm.weight().value();
        if (norm.weightOffset() == 0) {
            return ops.asFloats(weight);
        }
        float[] factors = ops.download(weight).toFloats();
        for (int i = 0; i < factors.length; i++) {
            factors[i] += norm.weightOffset();
        }
        return ops.upload(TensorView.ofFloats(factors, factors.length));
    }

    void backward(Tensor dX, Tensor dY, Tensor x, Norm norm, Tensor statistics) {
        switch (norm) {
            case Norm.Rms rms -> backward(dX, dY, x, rms, statistics);
            case Norm.Layer layer -> layers.backward(dX, dY, x, layer, statistics);
        }
    }

    private void backward(Tensor dX, Tensor dY, Tensor x, Norm.Rms norm, Tensor rstd) {
        int hidden = (int) x.shape().dim(1);
        // before dX: that may be dY
        if (norm.isTrained()) {
            addWeightGradient(norm.weight().gradient(), dY, x, rstd);
        }
        try (Tensor floats = factors(ops, norm)) {
            MemorySegment w = CpuTensor.memory(floats), in = CpuTensor.memory(x), dIn = CpuTensor.memory(dX), dOut = CpuTensor.memory(dY);
            ops.workers().ranges(x.shape().dim(0), GRAIN, (from, to) -> {
                MemorySegment weighted = ops.rowScratch(hidden);
                for (long row = from; row < to; row++) {
                    float inverse = CpuTensor.memory(rstd).get(FLOAT, row * 4);
                    ops.math().scale(dOut, row * hidden, 1f, w, weighted, 0, hidden);
                    float mean = ops.math().dot(weighted, 0, in, row * hidden, hidden) * inverse / hidden;
                    ops.math().normBackward(dIn, dOut, in, row * hidden, w, inverse, mean, hidden);
                }
            });
        }
    }

    /** dWeight += sum over rows of dY x rstd, in the order of the rows. */
    private void addWeightGradient(Tensor dWeight, Tensor dY, Tensor x, Tensor rstd) {
        int hidden = (int) x.shape().dim(1);
        MemorySegment in = CpuTensor.memory(x), dOut = CpuTensor.memory(dY), sums = CpuTensor.memory(dWeight), inverse = CpuTensor.memory(rstd);
        ops.columns(hidden, (from, count) -> {
            MemorySegment row = ops.rowScratch(count);
            for (long i = 0; i < x.shape().dim(0); i++) {
                long at = i * hidden + from;
                ops.math().scale(in, at, inverse.get(FLOAT, i * 4), dOut.asSlice(at * 4, count * 4L), row, 0, count);
                ops.math().add(row, 0, sums, from, count);
            }
        });
    }

    // ---- heads: queries and keys are normalised, values are copied

    /** Vectors that share a norm: {@code heads} of {@code dim} elements from a column on, and where their statistics begin. */
    private record Part(int column, int heads, int dim, Norm.Rms norm, int statistic) { }

    private static List<Part> parts(AttentionShape shape, HeadNorms norms) {
        int queries = shape.numAttentionHeads(), keys = shape.numKeyValueHeads(), dim = shape.headDim();
        return norms.acrossHeads() ? List.of(new Part(0, 1, shape.queryColumns(), norms.query(), 0), new Part(shape.queryColumns(), 1, shape.keyColumns(), norms.key(), 1))
                : List.of(new Part(0, queries, dim, norms.query(), 0), new Part(shape.queryColumns(), keys, dim, norms.key(), queries));
    }

    Tensor headForward(Tensor qkv, AttentionShape shape, HeadNorms norms, Tensor rstd) {
        int columns = shape.qkvColumns(), statistics = (int) rstd.shape().dim(1);
        Tensor y = ops.allocate(DType.F32, qkv.shape().toArray());
        ops.copyInto(y, qkv);
        MemorySegment in = CpuTensor.memory(qkv), out = CpuTensor.memory(y), inverse = CpuTensor.memory(rstd);
        for (Part part : parts(shape, norms)) {
            try (Tensor factors = factors(ops, part.norm)) {
                MemorySegment weight = CpuTensor.memory(factors);
                ops.workers().ranges(qkv.shape().dim(0), GRAIN, (from, to) -> {
                    for (long row = from; row < to; row++) {
                        for (int head = 0; head < part.heads; head++) {
                            long at = row * columns + part.column + (long) head * part.dim;
                            float deviation = inverseDeviation(in, at, part.dim, part.norm.eps());
                            inverse.set(FLOAT, (row * statistics + part.statistic + head) * 4, deviation);
                            ops.math().scale(in, at, deviation, weight, out, at, part.dim);
                        }
                    }
                });
            }
        }
        return y;
    }

    void headBackward(Tensor dQkv, Tensor qkv, AttentionShape shape, HeadNorms norms, Tensor rstd) {
        int columns = shape.qkvColumns(), statistics = (int) rstd.shape().dim(1);
        MemorySegment in = CpuTensor.memory(qkv), gradient = CpuTensor.memory(dQkv), inverse = CpuTensor.memory(rstd);
        for (Part part : parts(shape, norms)) {
            int dim = part.dim;
            addHeadWeightGradient(dQkv, qkv, part, rstd);
            try (Tensor factors = factors(ops, part.norm)) {
                MemorySegment weight = CpuTensor.memory(factors);
                ops.workers().ranges(qkv.shape().dim(0), GRAIN, (from, to) -> {
                    MemorySegment dHead = ops.rowScratch(3L * dim), x = dHead.asSlice(4L * dim), weighted = dHead.asSlice(8L * dim);
                    for (long row = from; row < to; row++) {
                        for (int head = 0; head < part.heads; head++) {
                            long at = row * columns + part.column + (long) head * dim;
                            float deviation = inverse.get(FLOAT, (row * statistics + part.statistic + head) * 4);
                            MemorySegment.copy(gradient, at * 4, dHead, 0, dim * 4L);
                            MemorySegment.copy(in, at * 4, x, 0, dim * 4L);
                            gradient.asSlice(at * 4, dim * 4L).fill((byte) 0);
                            ops.math().scale(dHead, 0, 1f, weight, weighted, 0, dim);
                            float mean = ops.math().dot(weighted, 0, x, 0, dim) * deviation / dim;
                            ops.math().normBackward(gradient.asSlice(at * 4, dim * 4L), dHead, x, 0, weight, deviation, mean, dim);
                        }
                    }
                });
            }
        }
    }

    private void addHeadWeightGradient(Tensor dQkv, Tensor qkv, Part part, Tensor rstd) {
        Parameter weight = part.norm.weight();
        if (!weight.isTrained()) {
            return;
        }
        long columns = qkv.shape().dim(1), statistics = rstd.shape().dim(1);
        ops.columns(part.dim, (from, count) -> {
            MemorySegment products = ops.rowScratch(count);
            for (long row = 0; row < qkv.shape().dim(0); row++) {
                for (int head = 0; head < part.heads; head++) {
                    long at = row * columns + part.column + (long) head * part.dim + from;
                    float deviation = CpuTensor.memory(rstd).get(FLOAT, (row * statistics + part.statistic + head) * 4);
                    ops.math().scale(CpuTensor.memory(qkv), at, deviation, CpuTensor.memory(dQkv).asSlice(at * 4, count * 4L), products, 0, count);
                    ops.math().add(products, 0, CpuTensor.memory(weight.gradient()), from, count);
                }
            }
        });
    }
}
