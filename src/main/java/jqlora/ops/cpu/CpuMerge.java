package jqlora.ops.cpu;

import static jqlora.tensor.TensorView.FLOAT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.atomic.AtomicLong;
import jqlora.ops.LoraDelta;
import jqlora.ops.LoraFactors;
import jqlora.ops.MergedStorage;
import jqlora.ops.OpsArguments;
import jqlora.ops.Parameter;
import jqlora.ops.Weight;
import jqlora.quant.FourBitCodec;
import jqlora.quant.StochasticRounding;
import jqlora.tensor.DType;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;

/** Adapters into weights. */
final class CpuMerge {
    private final CpuOps ops;
    private final FourBitCodec codec;

    CpuMerge(CpuOps ops, FourBitCodec codec) {
        this.ops = ops;
        this.codec = codec;
    }

    Weight merge(String layer, Weight base, LoraFactors factors, MergedStorage storage) {
        Shape shape = base.shape();
        try (Tensor floats = ops.toFloat(base); Arena arena = Arena.ofShared()) {
            MemorySegment sum = CpuTensor.memory(floats);
            LoraDelta delta = LoraDelta.of(ops, factors);
            ops.workers().ranges(shape.dim(0), Math.max(1, CpuOps.COPY_GRAIN / Math.max(1, shape.dim(1))), (from, to) -> delta.addTo(sum, (int) from, (int) to));
            requireFinite(layer, sum);
            return switch (storage) {
                case MergedStorage.Numbers(DType dtype) -> new Weight.Dense(Parameter.frozen(layer + ".weight", ops.upload(rounded(sum, shape, dtype, arena))));
                case MergedStorage.Nearest(var format) -> ops.upload(codec.quantize(rounded(sum, shape, format.dtype(), arena), format, arena));
                case MergedStorage.Stochastic(var format, long seed) -> ops.upload(new StochasticRounding(seed, factors.module()).quantize(sum, shape, format, arena));
            };
        }
    }

    private void requireFinite(String layer, MemorySegment values) {
        long elements = values.byteSize() / 4;
        AtomicLong first = new AtomicLong(elements);
        ops.workers().ranges(elements, CpuOps.COPY_GRAIN, (from, to) -> {
            for (long i = from; i < to; i++) {
                if (!Float.isFinite(values.get(FLOAT, i * 4))) {
                    first.accumulateAndGet(i, Math::min);
                    return;
                }
            }
        });
        if (first.get() < elements) {
            throw OpsArguments.notFinite(layer, first.get(), values.get(FLOAT, first.get() * 4));
        }
    }

    private TensorView rounded(MemorySegment sum, Shape shape, DType dtype, Arena arena) {
        if (dtype == DType.F32) {
            return new TensorView(dtype, shape, sum);
        }
        TensorView rounded = new TensorView(dtype, shape, arena.allocate(dtype.byteSize(shape.size()), 64));
        ops.workers().ranges(shape.size(), CpuOps.COPY_GRAIN, (from, to) -> {
            float[] floats = new float[(int) (to - from)];
            MemorySegment.copy(sum, FLOAT, from * 4, floats, 0, floats.length);
            FloatConversion.fromFloats(floats, 0, floats.length, dtype, rounded.data(), from);
        });
        return rounded;
    }
}
