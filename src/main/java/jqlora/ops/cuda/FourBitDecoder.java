package jqlora.ops.cuda;

import java.util.EnumMap;
import java.util.Map;
import jqlora.ops.Weight;
import jqlora.quant.DynamicMap;
import jqlora.quant.FourBitFormat;
import jqlora.quant.FourBitType;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.TensorView;
import jqlora.tensor.Tensor;
import org.bytedeco.cuda.cudart.CUstream_st;

/** NF4 and FP4 on the device: decoding, and encoding with the bits that bitsandbytes gives. The code tables come from {@link FourBitType}. */
final class FourBitDecoder implements AutoCloseable {
    // the places of a table's parts, as in four_bit.cu
    private static final int ORDER = 16, THRESHOLDS = 32, BINS = 33, CODES = THRESHOLDS + BINS, TABLE = CODES + BINS;
    private static final float BINS_OF_A_UNIT = 16, TO_WHOLE_NUMBERS = 0x1.8p23f;
    private static final int LARGEST_BLOCK_OF_A_WARP = 256, ENCODED_BY_A_BLOCK = 8192;
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

    /**
     * Values, the codes in their order, and for each bin of numbers that {@code 16 x} rounds to the same whole number the threshold within it (infinity where
     * there is none) and the codes on both sides.
     */
    private static float[] table(FourBitType type) {
        float[] table = new float[TABLE], thresholds = type.thresholds();
        int[] order = type.codesInOrder();
        System.arraycopy(type.codebook(), 0, table, 0, 16);
        for (int i = 0; i < 16; i++) {
            table[ORDER + i] = Float.intBitsToFloat(order[i]);
        }
        for (int bin = 0, rank = 0; bin < BINS; bin++) {
            boolean divided = rank < thresholds.length && bin(thresholds[rank]) == bin;
            table[THRESHOLDS + bin] = divided ? thresholds[rank] : Float.POSITIVE_INFINITY;
            int below = type.codeOfRank(rank);
            rank += divided ? 1 : 0;
            if (rank < thresholds.length && bin(thresholds[rank]) <= bin) {
                throw new AssertionError("two thresholds of " + type + " in bin " + bin);
            }
            table[CODES + bin] = Float.intBitsToFloat(below | type.codeOfRank(rank) << 4);
        }
        return table;
    }

    private static int bin(float x) {
        return (int) (Math.fma(x, BINS_OF_A_UNIT, TO_WHOLE_NUMBERS) - TO_WHOLE_NUMBERS) + BINS / 2;
    }

    private long uploaded(float[] values) {
        long address = memory.take(4L * values.length);
        transfers.upload(values, address);
        return address;
    }

    /** The address of the code's table. */
    long tableAt(FourBitType type) {
        return tables.get(type);
    }

    /** The address of the 8-bit code's values. */
    long map() {
        return map;
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

    /** Encodes [outFeatures, inFeatures] numbers of the host. */
    Weight.FourBit encode(TensorView host, FourBitFormat format) {
        long address = memory.take(Math.max(1, host.data().byteSize()));
        try {
            transfers.upload(host.data(), address);
            return encode(address, host.dtype(), host.shape(), format);
        } finally {
            memory.giveBack(address);
        }
    }

    /** Encodes [outFeatures, inFeatures] numbers that lie row after row at {@code values}. */
    Weight.FourBit encode(long values, DType dtype, Shape shape, FourBitFormat format) {
        long elements = shape.size(), blocks = format.blocks(elements);
        CudaTensor codes = CudaTensor.allocate(memory, DType.U8, Shape.of(Math.ceilDiv(elements, 2L)), 0);
        CudaTensor absmax = CudaTensor.allocate(memory, DType.F32, Shape.of(blocks), 0);
        int fp4 = format.type() == FourBitType.FP4 ? 1 : 0;
        if (format.blockSize() <= LARGEST_BLOCK_OF_A_WARP) {
            kernels.get("four_bit", "four_bit_encode8").address(codes).address(absmax).number(values).number(tables.get(format.type())).number(elements).integer(blockShift(format))
                    .integer(CudaTensor.type(dtype)).integer(fp4).launch(Math.ceilDiv(elements, (long) ENCODED_BY_A_BLOCK), 256);
        } else {
            kernels.get("four_bit", "four_bit_encode").address(codes).address(absmax).number(values).number(tables.get(format.type())).number(elements).integer(format.blockSize())
                    .integer(CudaTensor.type(dtype)).integer(fp4).launch(Math.ceilDiv(blocks, 8L), 256);
        }
        return weight(format, shape, codes, absmax);
    }

    /** Encodes [outFeatures, inFeatures] float32 numbers at {@code values} as {@link jqlora.quant.StochasticRounding} does. */
    Weight.FourBit encodeAtRandom(long values, Shape shape, FourBitFormat format, long seed, long stream) {
        long elements = shape.size(), blocks = format.blocks(elements);
        CudaTensor codes = CudaTensor.allocate(memory, DType.U8, Shape.of(Math.ceilDiv(elements, 2L)), 0);
        CudaTensor absmax = CudaTensor.allocate(memory, DType.F32, Shape.of(blocks), 0);
        int fp4 = format.type() == FourBitType.FP4 ? 1 : 0;
        kernels.get("four_bit", "four_bit_encode").number(0).address(absmax).number(values).number(tables.get(format.type())).number(elements).integer(format.blockSize())
                .integer(CudaTensor.type(DType.F32)).integer(fp4).launch(Math.ceilDiv(blocks, 8L), 256);
        Weight.FourBit weight = weight(format, shape, codes, absmax);
        source(kernels.get("four_bit", "four_bit_encode_at_random"), weight).number(values).number(elements).integer(blockShift(format)).number(seed).number(stream).integer(fp4)
                .launchFor(Math.ceilDiv(elements, (long) CHUNK));
        return weight;
    }

    /** The weight of these codes and absmax values, the latter in 8 bits where the format says so. */
    private Weight.FourBit weight(FourBitFormat format, Shape shape, CudaTensor codes, CudaTensor absmax) {
        if (!format.doubleQuantization()) {
            return new Weight.FourBit(format, shape, codes, absmax, null, 0f);
        }
        long blocks = absmax.shape().size(), nestedBlocks = format.nestedBlocks(shape.size());
        CudaTensor nestedCodes = CudaTensor.allocate(memory, DType.U8, Shape.of(blocks), 0);
        CudaTensor nested = CudaTensor.allocate(memory, DType.F32, Shape.of(nestedBlocks), 0);
        try (absmax; CudaTensor mean = CudaTensor.allocate(memory, DType.F32, Shape.of(1), 0)) {
            mean(mean, absmax);
            kernels.get("four_bit", "nested_encode").address(nestedCodes).address(nested).address(absmax).address(mean).number(map).number(blocks)
                    .launch(nestedBlocks, 256);
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
