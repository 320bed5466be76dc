package jqlora.quant;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.LongVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;
import jqlora.tensor.DType;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.TensorView;
import jqlora.tensor.Workers;

/**
 * The fast codec: the Vector API, on all cores. A vector of weights finds its codes by a binary search over the thresholds that
 * runs in registers; a vector of codes finds its values in a table that lies in registers.
 */
public final class VectorFourBitCodec implements FourBitCodec {
    private static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED.length() >= 16 ? FloatVector.SPECIES_512 : FloatVector.SPECIES_256;
    private static final VectorSpecies<Integer> INTS = FLOATS.length() == 16 ? IntVector.SPECIES_512 : IntVector.SPECIES_256;
    private static final VectorSpecies<Long> LONGS = FLOATS.length() == 16 ? LongVector.SPECIES_512 : LongVector.SPECIES_256;
    private static final int LANES = FLOATS.length();
    private static final int TABLES = 16 / LANES;                 // registers that hold 16 floats
    private static final int PARALLEL_GRAIN = 1 << 16;            // elements; below this a thread costs more than it saves

    private final Workers workers;

    public VectorFourBitCodec(Workers workers) {
        this.workers = workers;
    }

    /** Whether the processor has vectors of 256 bits; with shorter ones the JVM imitates them, a hundred times slower than plain loops. */
    static boolean fitsProcessor() {
        return FloatVector.SPECIES_PREFERRED.length() >= 8;
    }

    @Override
    public QuantizedTensor quantize(TensorView weight, FourBitFormat format, Arena arena) {
        PlainFourBitCodec.requireWeightType(weight);
        long elements = weight.shape().size();
        MemorySegment codes = arena.allocate(Math.ceilDiv(elements, 2L));
        float[] absmax = new float[Math.toIntExact(format.blocks(elements))];
        Encoder encoder = new Encoder(format.type());
        workers.ranges(absmax.length, PARALLEL_GRAIN / format.blockSize(), (from, to) -> {
            float[] values = new float[format.blockSize()];
            byte[] packed = new byte[format.blockSize() / 2];
            for (int block = (int) from; block < to; block++) {
                long first = (long) block * format.blockSize();
                int count = (int) Math.min(format.blockSize(), elements - first);
                FloatConversion.toFloats(weight.dtype(), weight.data(), first, values, 0, count);
                java.util.Arrays.fill(values, count, values.length, 0f);
                absmax[block] = largestMagnitude(values);
                encoder.encode(values, PlainFourBitCodec.reciprocal(absmax[block]), packed);
                MemorySegment.copy(packed, 0, codes, TensorView.BYTE, first / 2, Math.ceilDiv(count, 2));
            }
        });
        return new QuantizedTensor(format, weight.shape(), codes, DoubleQuantization.store(absmax, format, arena));
    }

    private static float largestMagnitude(float[] values) {
        FloatVector largest = FloatVector.zero(FLOATS);
        for (int i = 0; i < values.length; i += LANES) {
            FloatVector magnitude = FloatVector.fromArray(FLOATS, values, i).abs();
            largest = largest.blend(magnitude, magnitude.compare(VectorOperators.GT, largest));
        }
        float max = largest.reduceLanes(VectorOperators.MAX);
        return max < Float.MIN_NORMAL ? 0f : max;
    }

    /** Codes of one type: the number of thresholds that a value exceeds, found in four steps. */
    private static final class Encoder {
        private final boolean signed;
        private final float[] tree = new float[16];               // tree[8 + ...]: thresholds, padded with infinity to 15
        private final int[] codeOfRank = new int[16];

        Encoder(FourBitType type) {
            signed = type == FourBitType.FP4;
            float[] thresholds = type.thresholds();
            java.util.Arrays.fill(tree, Float.POSITIVE_INFINITY);
            System.arraycopy(thresholds, 0, tree, 0, thresholds.length);
            for (int rank = 0; rank <= thresholds.length; rank++) {
                codeOfRank[rank] = type.codeOfRank(rank);
            }
        }

        /** @param packed [values / 2], overwritten: the even element in the high half */
        void encode(float[] values, float scale, byte[] packed) {
            int[] codes = CODES.get();
            for (int i = 0; i < values.length; i += LANES) {
                FloatVector scaled = FloatVector.fromArray(FLOATS, values, i).mul(scale);
                FloatVector compared = signed ? scaled.abs() : scaled;
                IntVector rank = IntVector.zero(INTS);
                for (int step = 8; step > 0; step >>= 1) {
                    FloatVector threshold = lookup(tree, rank.add(step - 1));
                    rank = rank.add(step, compared.compare(VectorOperators.GT, threshold).cast(INTS));
                }
                IntVector code = rank;
                if (signed) {
                    code = lookup(codeOfRank, rank);
                    code = code.add(8, scaled.compare(VectorOperators.LE, -Float.MIN_NORMAL).cast(INTS));
                }
                code.intoArray(codes, i);
            }
            for (int i = 0; i < packed.length; i++) {
                packed[i] = (byte) (codes[2 * i] << 4 | codes[2 * i + 1]);
            }
        }
    }

    private static final ThreadLocal<int[]> CODES = ThreadLocal.withInitial(() -> new int[4096]);

    private static FloatVector lookup(float[] table, IntVector index) {
        IntVector low = FloatVector.fromArray(FLOATS, table, 0).reinterpretAsInts();
        if (TABLES == 1) {
            return index.selectFrom(low).reinterpretAsFloats();
        }
        IntVector high = FloatVector.fromArray(FLOATS, table, LANES).reinterpretAsInts();
        return select(low, high, index).reinterpretAsFloats();
    }

    private static IntVector lookup(int[] table, IntVector index) {
        IntVector low = IntVector.fromArray(INTS, table, 0);
        return TABLES == 1 ? index.selectFrom(low) : select(low, IntVector.fromArray(INTS, table, LANES), index);
    }

    private static IntVector select(IntVector low, IntVector high, IntVector index) {
        IntVector within = index.and(LANES - 1);
        return within.selectFrom(low).blend(within.selectFrom(high), index.compare(VectorOperators.GE, LANES));
    }

    @Override
    public void dequantize(QuantizedTensor tensor, long first, int count, float[] out, int at) {
        FourBitFormat format = tensor.format();
        int blockSize = format.blockSize();
        int begun = (int) (first % blockSize);                    // of the first block
        int done = begun == 0 ? 0 : Math.min(blockSize - begun, count);
        if (done > 0) {
            decodeRun(tensor, first, done, out, at);
        }
        int blocks = (count - done) / blockSize;
        decodeBlocks(tensor, (first + done) / blockSize, blocks, out, at + done);
        int whole = done + blocks * blockSize;
        if (format.dtype() == DType.F16) {
            for (int i = at + done; i < at + whole; i++) {
                out[i] = FloatConversion.round(out[i], DType.F16);
            }
        }
        if (whole < count) {
            decodeRun(tensor, first + whole, count - whole, out, at + whole);
        }
    }

    /** A part of a block. */
    private static void decodeRun(QuantizedTensor tensor, long element, int run, float[] out, int at) {
        FourBitFormat format = tensor.format();
        float scale = tensor.absmax().get(element / format.blockSize());
        for (int i = 0; i < run; i++) {
            int pair = tensor.codes().get(TensorView.BYTE, (element + i) / 2);
            float value = format.type().value((element + i & 1) == 0 ? pair >>> 4 & 15 : pair & 15) * scale;
            out[at + i] = FloatConversion.round(value, format.dtype());
        }
    }

    /** Whole blocks. Each has 16 different weights only: they are multiplied, and rounded to bfloat16, once and not in every place. */
    private static void decodeBlocks(QuantizedTensor tensor, long firstBlock, int blocks, float[] out, int at) {
        MemorySegment codes = tensor.codes();
        int blockSize = tensor.format().blockSize();
        boolean half = tensor.format().dtype() == DType.BF16;
        float[] table = tensor.format().type().values;
        FloatVector lowValues = FloatVector.fromArray(FLOATS, table, 0), highValues = FloatVector.fromArray(FLOATS, table, 16 - LANES);
        LongVector evenShift = LongVector.fromArray(LONGS, HIGH_SHIFT, 0), oddShift = LongVector.fromArray(LONGS, LOW_SHIFT, 0);
        for (int block = 0; block < blocks; block++) {
            float scale = tensor.absmax().get(firstBlock + block);
            IntVector low = scaled(lowValues, scale, half), high = TABLES == 1 ? low : scaled(highValues, scale, half);
            long from = (firstBlock + block) * blockSize >>> 1;
            int to = at + block * blockSize;
            for (int i = 0; i < blockSize; i += LANES) {
                IntVector index = spread(codes, from + (i >>> 1), evenShift, oddShift);
                IntVector bits = TABLES == 1 ? index.selectFrom(low) : select(low, high, index);
                bits.reinterpretAsFloats().intoArray(out, to + i);
            }
        }
    }

    private static IntVector scaled(FloatVector table, float scale, boolean half) {
        IntVector bits = table.mul(scale).reinterpretAsInts();
        return half ? roundedToBf16(bits) : bits;
    }

    private static IntVector roundedToBf16(IntVector bits) {
        IntVector tie = bits.lanewise(VectorOperators.LSHR, 16).and(1);
        IntVector rounded = bits.add(0x7fff).add(tie).and(0xffff0000);
        VectorMask<Integer> nan = bits.and(0x7fffffff).compare(VectorOperators.GT, 0x7f800000);
        return rounded.blend(bits.or(0x00400000).and(0xffff0000), nan);
    }

    private static final long[] HIGH_SHIFT = new long[8], LOW_SHIFT = new long[8];

    static {
        for (int j = 0; j < 8; j++) {
            HIGH_SHIFT[j] = 8 * j + 4;
            LOW_SHIFT[j] = 32 - 8 * j & 63;                       // a rotation: the low half of byte j to bits 32 ... 35
        }
    }

    /** The codes of {@code LANES / 2} bytes, one an int lane: byte j fills lane 2j with its high half, lane 2j + 1 with its low. */
    private static IntVector spread(MemorySegment codes, long at, LongVector evenShift, LongVector oddShift) {
        long bytes = LANES == 16 ? codes.get(TensorView.LONG, at) : codes.get(TensorView.INT, at) & 0xffffffffL;
        LongVector all = LongVector.broadcast(LONGS, bytes);
        LongVector even = all.lanewise(VectorOperators.LSHR, evenShift).and(15L);
        LongVector odd = all.lanewise(VectorOperators.ROL, oddShift).and(15L << 32);
        return even.or(odd).reinterpretAsInts();
    }

    @Override
    public void dequantize(QuantizedTensor tensor, MemorySegment out) {
        long elements = tensor.shape().size();
        ThreadLocal<float[]> buffer = elements >= BEYOND_CACHES ? PAST_CACHES : IN_CACHE;
        workers.ranges(elements, PARALLEL_GRAIN, (from, to) -> {
            float[] values = buffer.get();
            for (long first = from; first < to; first += values.length) {
                int count = (int) Math.min(values.length, to - first);
                dequantize(tensor, first, count, values, 0);
                MemorySegment.copy(values, 0, out, TensorView.FLOAT, first * 4, count);
            }
        });
    }

    private static final long BEYOND_CACHES = 1L << 22;
    private static final ThreadLocal<float[]> IN_CACHE = ThreadLocal.withInitial(() -> new float[4096]);
    /** The JVM copies more than 2.5 MiB at once past the caches, and so does not read the memory that it is about to write. */
    private static final ThreadLocal<float[]> PAST_CACHES = ThreadLocal.withInitial(() -> new float[172 * 4096]);

    static {
        if (ByteOrder.nativeOrder() != ByteOrder.LITTLE_ENDIAN) {
            throw new UnsupportedOperationException("the Vector API codec needs a little-endian processor");
        }
    }
}
