package jqlora.ops.cuda;

import java.util.EnumMap;
import java.util.Map;
import jqlora.ops.Weight;
import jqlora.quant.DynamicMap;
import jqlora.quant.FourBitFormat;
import jqlora.quant.FourBitType;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;
import org.bytedeco.cuda.cudart.CUstream_st;

/** NF4 and FP4 on the device: decoding, and encoding with the bits that bitsandbytes gives. The code tables come from {@link FourBitType}. */
final class FourBitDecoder implements AutoCloseable {
    private static final int TABLE = 48, THRESHOLDS = 16, CODES = 32;
    private static final int CHUNK = 8, CHUNKS_OF_A_BLOCK = 1024;
    // torch's reduction, as in jqlora.quant.CudaMean
    private static final int MEAN_THREADS = 512, LANES = 4, VECTORIZED_FROM = 128, MEAN_MULTIPROCESSORS = 132, THREADS_OF_A_MULTIPROCESSOR = 2048;

    private final DeviceMemory memory;
    private final Kernels kernels;
    private final Transfers transfers;
    private final Map<FourBitType, Long> tables = new EnumMap<>(FourBitType.class);
    private final long map;

    FourBitDecoder(DeviceMemory memory, Kernels kernels, Transfers transfers) {
        this.memory = memory;
        this.kernels = kernels;
        this.transfers = transfers;
        for (FourBitType type : FourBitType.values()) {
            tables.put(type, uploaded(table(type)));
        }
        map = uploaded(DynamicMap.signed().values());
    }

    /** Values, thresholds (infinity where there are fewer than 16) and the bits of the code of each rank. */
    private static float[] table(FourBitType type) {
        float[] table = new float[TABLE], thresholds = type.thresholds();
        System.arraycopy(type.codebook(), 0, table, 0, 16);
        java.util.Arrays.fill(table, THRESHOLDS, CODES, Float.POSITIVE_INFINITY);
        System.arraycopy(thresholds, 0, table, THRESHOLDS, thresholds.length);
        for (int rank = 0; rank <= thresholds.length; rank++) {
            table[CODES + rank] = Float.intBitsToFloat(type.codeOfRank(rank));
        }
        return table;
    }

    private long uploaded(float[] values) {
        long address = memory.take(4L * values.length);
        transfers.upload(values, address);
        return address;
    }

    /** The binary logarithm of the elements that share an absmax. */
    static int blockShift(FourBitFormat format) {
        return Integer.numberOfTrailingZeros(format.blockSize());
    }

    /** What a kernel that decodes reads: {@code codes, absmax, nested, offset, map, table}. */
    Kernel source(Kernel kernel, Weight.FourBit weight) {
        return absmax(kernel.address(weight.codes()), weight).number(tables.get(weight.format().type()));
    }

    /** {@code absmax, nested, offset, map}. */
    Kernel absmax(Kernel kernel, Weight.FourBit weight) {
        return kernel.address(weight.absmax()).address(weight.nestedAbsmax()).real(weight.offset()).number(map);
    }

    /** Decodes into bfloat16 rows that lie {@code stride} elements apart, on {@code stream}. */
    void decode(Weight.FourBit weight, long out, long stride, CUstream_st stream) {
        long elements = weight.shape().size(), columns = weight.inFeatures();
        int type = CudaTensor.type(weight.format().dtype());
        if (columns % CHUNK == 0 && elements / CHUNK <= Integer.MAX_VALUE - CHUNKS_OF_A_BLOCK) {
            source(kernels.get("four_bit", "four_bit_decode").number(out).number(stride), weight).integer(elements / CHUNK).integer(columns / CHUNK)
                    .integer(blockShift(weight.format())).integer(type).on(stream).launch(Math.ceilDiv(elements / CHUNK, CHUNKS_OF_A_BLOCK), 256);
        } else {
            source(kernels.get("four_bit", "four_bit_decode_any").number(out).number(stride), weight).number(elements).number(columns)
                    .integer(blockShift(weight.format())).integer(type).on(stream).launchFor(elements);
        }
    }

    /** Decodes into {@code out}, F32. */
    void decode(Weight.FourBit weight, CudaTensor out) {
        long elements = weight.shape().size();
        source(kernels.get("four_bit", "four_bit_to_float").address(out), weight).number(elements).integer(blockShift(weight.format()))
                .integer(CudaTensor.type(weight.format().dtype())).launchFor(elements);
    }

    /** Encodes [outFeatures, inFeatures] numbers that lie row after row at {@code values}. */
    Weight.FourBit encode(long values, DType dtype, Shape shape, FourBitFormat format) {
        long elements = shape.size(), blocks = format.blocks(elements);
        CudaTensor codes = CudaTensor.allocate(memory, DType.U8, Shape.of(Math.ceilDiv(elements, 2L)), 0);
        CudaTensor absmax = CudaTensor.allocate(memory, DType.F32, Shape.of(blocks), 0);
        kernels.get("four_bit", "four_bit_encode").address(codes).address(absmax).number(values).number(tables.get(format.type())).number(elements).integer(format.blockSize())
                .integer(CudaTensor.type(dtype)).integer(format.type() == FourBitType.FP4 ? 1 : 0).launch(Math.ceilDiv(blocks, 8L), 256);
        if (!format.doubleQuantization()) {
            return new Weight.FourBit(format, shape, codes, absmax, null, 0f);
        }
        CudaTensor nestedCodes = CudaTensor.allocate(memory, DType.U8, Shape.of(blocks), 0);
        CudaTensor nested = CudaTensor.allocate(memory, DType.F32, Shape.of(format.nestedBlocks(elements)), 0);
        try (absmax; CudaTensor mean = CudaTensor.allocate(memory, DType.F32, Shape.of(1), 0)) {
            mean(mean, absmax);
            kernels.get("four_bit", "nested_encode").address(nestedCodes).address(nested).address(absmax).address(mean).number(map).number(blocks)
                    .launch(format.nestedBlocks(elements), 256);
            return new Weight.FourBit(format, shape, codes, nestedCodes, nested, offset(mean));
        }
    }

    private float offset(Tensor mean) {
        return transfers.download(CudaTensor.of(mean)).toFloats()[0];
    }

    /** The mean in the order of torch.mean; see jqlora.quant.CudaMean. */
    private void mean(CudaTensor mean, CudaTensor x) {
        long n = x.shape().size();
        boolean vectorized = n >= VECTORIZED_FROM;
        int threads = (int) Math.min(MEAN_THREADS, Long.highestOneBit(Math.max(1, vectorized ? n / LANES : n))), blocks = meanBlocks(n, threads);
        try (CudaTensor sums = CudaTensor.allocate(memory, DType.F32, Shape.of(blocks), 0)) {
            kernels.get("four_bit", "mean_partial").address(sums).address(x).number(n).integer(vectorized ? 1 : 0).launch(blocks, threads);
            kernels.get("four_bit", "mean_total").address(mean).address(sums).integer(blocks).real((float) (1.0 / n)).launch(1, threads);
        }
    }

    private static int meanBlocks(long n, int threads) {
        int perThread = (int) Math.ceilDiv(n, (long) threads);
        if (perThread < 256) {
            return 1;
        }
        int fillsTheDevice = MEAN_MULTIPROCESSORS * (THREADS_OF_A_MULTIPROCESSOR / threads);
        return Math.max(Math.min(fillsTheDevice, Math.ceilDiv(perThread, 16)), Math.ceilDiv(perThread, 256));
    }

    @Override
    public void close() {
        tables.values().forEach(memory::giveBack);
        memory.giveBack(map);
    }
}
