package jqlora.quant;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import jqlora.tensor.Philox;
import jqlora.tensor.Shape;
import jqlora.tensor.TensorView;

/**
 * Quantization to 4 bits that is right on average: a value between two codes takes the nearer one more often, in proportion to how near
 * it is, so that what is much smaller than a step is kept in the mean of many weights instead of being rounded away. Element i
 * draws the 32 bits at place i mod 4 of {@code Philox(seed, i / 4, stream)}.
 *
 * @param seed of the draws
 * @param stream a number of its own for each tensor
 * @see <a href="https://arxiv.org/abs/1502.02551">Deep learning with limited numerical precision (stochastic rounding)</a>
 */
public record StochasticRounding(long seed, long stream) {
    /**
     * Quantizes {@code weight}.
     *
     * @param weight F32, any shape; read
     * @param arena gives the memory of the result
     */
    public QuantizedTensor quantize(MemorySegment weight, Shape shape, FourBitFormat format, Arena arena) {
        long elements = shape.size();
        int blockSize = format.blockSize();
        float[] absmax = new float[Math.toIntExact(format.blocks(elements))];
        float[] values = new float[blockSize];
        for (int block = 0; block < absmax.length; block++) {
            int count = read(weight, block, blockSize, elements, values);
            absmax[block] = PlainFourBitCodec.largestMagnitude(values, count);
        }
        // the scale that a reader will restore, not the exact one: otherwise double quantization would shift the mean
        Absmax stored = DoubleQuantization.store(absmax, format, arena);
        MemorySegment codes = arena.allocate(Math.ceilDiv(elements, 2L));
        Ladder ladder = Ladder.of(format.type());
        int[] bits = new int[4];
        for (int block = 0; block < absmax.length; block++) {
            int count = read(weight, block, blockSize, elements, values);
            float scale = PlainFourBitCodec.reciprocal(stored.get(block));
            long first = (long) block * blockSize;
            for (int i = 0; i < count; i += 2) {
                int high = ladder.code(values[i] * scale, draw(first + i, bits));
                int low = i + 1 < count ? ladder.code(values[i + 1] * scale, draw(first + i + 1, bits)) : format.type().encode(0f);
                codes.set(TensorView.BYTE, (first + i) / 2, (byte) (high << 4 | low));
            }
        }
        return new QuantizedTensor(format, shape, codes, stored);
    }

    private static int read(MemorySegment weight, int block, int blockSize, long elements, float[] values) {
        long first = (long) block * blockSize;
        int count = (int) Math.min(blockSize, elements - first);
        MemorySegment.copy(weight, TensorView.FLOAT, first * 4, values, 0, count);
        return count;
    }

    /** Uniform in [0, 1), 24 bits. */
    private float draw(long element, int[] bits) {
        Philox.block(seed, element / 4, stream, bits);
        return (bits[(int) (element % 4)] >>> 8) * 0x1p-24f;
    }

    /** The codes in the order of their values. */
    private record Ladder(float[] values, int[] codes) {
        static Ladder of(FourBitType type) {
            int[] codes = type.codesInOrder();
            float[] values = new float[16];
            for (int i = 0; i < 16; i++) {
                values[i] = type.value(codes[i]);
            }
            return new Ladder(values, codes);
        }

        /** The code below or above {@code scaled}: above where {@code draw} is less than the share of the step that lies below. */
        int code(float scaled, float draw) {
            if (!(scaled > values[0])) {
                return codes[0];
            }
            int above = 1;
            while (above < 15 && scaled > values[above]) {
                above++;
            }
            float low = values[above - 1], high = values[above];
            float share = high > low ? (scaled - low) / (high - low) : 0f;
            return draw < share ? codes[above] : codes[above - 1];
        }
    }
}
