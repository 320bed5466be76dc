package jqlora.ops.cuda;

import java.lang.foreign.MemorySegment;
import java.util.function.Supplier;
import jqlora.ops.LoraFactors;
import jqlora.ops.MergedStorage;
import jqlora.ops.OpsArguments;
import jqlora.ops.Parameter;
import jqlora.ops.Weight;
import jqlora.quant.FourBitFormat;
import jqlora.tensor.DType;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.Shape;
import jqlora.tensor.TensorView;

/**
 * Adapters into weights. One kernel decodes the base, adds the update and rounds; numbers are then done, and for 4 bits its result, in memory that is given
 * back, is encoded like any other.
 */
final class CudaMerge {
    private static final String SOURCE = "merge";
    private static final long COLUMNS_OF_A_BLOCK = 128, ROWS_OF_A_BLOCK = 64, MOST_BLOCKS = 65_535;

    private final CudaStage stage;
    private final DeviceMemory memory;
    private final Transfers transfers;
    private final FourBitDecoder fourBit;

    CudaMerge(CudaStage stage, DeviceMemory memory, Transfers transfers, FourBitDecoder fourBit) {
        this.stage = stage;
        this.memory = memory;
        this.transfers = transfers;
        this.fourBit = fourBit;
    }

    Weight merge(String layer, Weight base, LoraFactors factors, MergedStorage storage) {
        Shape shape = base.shape();
        return switch (storage) {
            case MergedStorage.Numbers(DType dtype) -> numbers(layer, base, factors, dtype);
            case MergedStorage.Nearest(FourBitFormat format) -> {
                long sum = sum(layer, base, factors, format.dtype());
                yield encoded(sum, () -> fourBit.encode(sum, format.dtype(), shape, format));
            }
            case MergedStorage.Stochastic(FourBitFormat format, long seed) -> {
                long sum = sum(layer, base, factors, DType.F32);
                yield encoded(sum, () -> fourBit.encodeAtRandom(sum, shape, format, seed, factors.module()));
            }
        };
    }

    private Weight numbers(String layer, Weight base, LoraFactors factors, DType dtype) {
        CudaTensor merged = CudaTensor.allocate(memory, dtype, base.shape(), 0);
        try {
            add(layer, base, factors, dtype, merged.address(), merged.stride());
            return new Weight.Dense(Parameter.frozen(layer + ".weight", merged));
        } catch (RuntimeException failed) {
            merged.close();
            throw failed;
        }
    }

    private long sum(String layer, Weight base, LoraFactors factors, DType dtype) {
        long address = memory.take(Math.max(1, dtype.byteSize(base.shape().size())));
        try {
            add(layer, base, factors, dtype, address, base.inFeatures());
            return address;
        } catch (RuntimeException failed) {
            memory.giveBack(address);
            throw failed;
        }
    }

    private Weight encoded(long sum, Supplier<Weight.FourBit> encoding) {
        try {
            return encoding.get();
        } finally {
            memory.giveBack(sum);
        }
    }

    /** Writes the sum to rows that lie {@code stride} elements apart. */
    private void add(String layer, Weight base, LoraFactors factors, DType dtype, long out, long stride) {
        long outs = base.outFeatures(), ins = base.inFeatures();
        try (CudaTensor bad = CudaTensor.allocate(memory, DType.I64, Shape.of(1), 0)) {
            transfers.fillZero(bad);
            Kernel kernel = stage.kernel(SOURCE, base instanceof Weight.FourBit ? "merge_four_bit" : "merge_numbers").number(out).number(stride).integer(CudaTensor.type(dtype)).address(bad);
            switch (base) {
                case Weight.FourBit packed -> fourBit.source(kernel, packed).integer(FourBitDecoder.blockShift(packed.format())).integer(CudaTensor.type(packed.format().dtype()));
                case Weight.Dense(Parameter parameter) -> kernel.matrix(parameter.value()).integer(CudaTensor.of(parameter.value()).type());
            }
            kernel.address(factors.a().value()).address(factors.b().value()).real(factors.scaling()).integer(outs).integer(ins).integer(factors.r())
                    .launch(Math.ceilDiv(ins, COLUMNS_OF_A_BLOCK), (int) Math.min(MOST_BLOCKS, Math.ceilDiv(outs, ROWS_OF_A_BLOCK)), 256, 1);
            MemorySegment first = MemorySegment.ofArray(new long[1]);
            transfers.download(bad.address(), first);
            long index = ~first.get(TensorView.LONG, 0);
            if (index != -1) {
                throw OpsArguments.notFinite(layer, index, element(out + dtype.byteSize(index / ins * stride + index % ins), dtype));
            }
        }
    }

    private float element(long address, DType dtype) {
        MemorySegment bytes = MemorySegment.ofArray(new byte[dtype.bytes()]);
        transfers.download(address, bytes);
        float[] value = new float[1];
        FloatConversion.toFloats(dtype, bytes, 0, value, 0, 1);
        return value[0];
    }
}
