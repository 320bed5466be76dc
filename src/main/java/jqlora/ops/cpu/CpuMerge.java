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
    private final CpuStage stage;
    private final FourBitCodec codec;

    CpuMerge(CpuStage stage, FourBitCodec codec) {
        this.stage = stage;
        this.codec = codec;
    }

    Weight merge(String layer, Weight base, LoraFactors factors, MergedStorage storage) {
        Shape shape = base.shape();
        try (Tensor floats = stage.toFloat(base); Arena arena = Arena.ofShared()) {
            MemorySegment sum = CpuTensor.memory(floats);
            LoraDelta delta = LoraDelta.of(stage, factors);
            stage.workers().ranges(shape.dim(0), Math.max(1, CpuStage.COPY_GRAIN / Math.max(1, shape.dim(1))), (from, to) -> delta.addTo(sum, (int) from, (int) to));
            requireFinite(layer, sum);
            return switch (storage) {
                case MergedStorage.Numbers(DType dtype) -> new Weight.Dense(Parameter.frozen(layer + ".weight", stage.upload(rounded(sum, shape, dtype, arena))));
                case MergedStorage.Nearest(var format) -> stage.upload(codec.quantize(rounded(sum, shape, format.dtype(), arena), format, arena));
                case MergedStorage.Stochastic(var format, long seed) -> stage.upload(new StochasticRounding(seed, factors.module()).quantize(sum, shape, format, arena));
            };
        }
    }

    private void requireFinite(String layer, MemorySegment values) {
        long elements = values.byteSize() / 4;
        AtomicLong first = new AtomicLong(elements);
        stage.workers().ranges(elements, CpuStage.COPY_GRAIN, (from, to) -> {
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
        stage.workers().ranges(shape.size(), CpuStage.COPY_GRAIN, (from, to) -> {
            float[] floats = new float[(int) (to - from)];
            MemorySegment.copy(sum, FLOAT, from * 4, floats, 0, floats.length);
            FloatConversion.fromFloats(floats, 0, floats.length, dtype, rounded.data(), from);
        });
        return rounded;
    }
}
