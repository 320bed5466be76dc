package jqlora.quant;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import jqlora.tensor.TensorView;

/**
 * Double quantization: the absmax values, less their mean, in 8 bits with a float32 absmax for every 256 of them. It takes the
 * cost of the scales from 0.5 to 0.127 bits a parameter.
 *
 * @see <a href="https://arxiv.org/abs/2305.14314">QLoRA, section 3, Double Quantization</a>
 * @see <a href="https://github.com/bitsandbytes-foundation/bitsandbytes/blob/95f9af30/bitsandbytes/functional.py">bitsandbytes functional.py:938-951</a>
 */
public final class DoubleQuantization {
    private DoubleQuantization() { }

    /** {@code absmax} as {@code format} stores it, with or without a second level. */
    static Absmax store(float[] absmax, FourBitFormat format, Arena arena) {
        return format.doubleQuantization() ? quantize(absmax, arena) : new Absmax.Plain(copy(absmax, arena));
    }

    /** The second level of {@code absmax}, one value a block. */
    public static Absmax.Nested quantize(float[] absmax, Arena arena) {
        return quantize(absmax, absmax.length == 0 ? 0f : CudaMean.of(absmax), arena);
    }

    /** As {@link #quantize(float[], Arena)}, with the mean given. */
    public static Absmax.Nested quantize(float[] absmax, float offset, Arena arena) {
        DynamicMap map = DynamicMap.signed();
        int blocks = Math.ceilDiv(absmax.length, FourBitFormat.NESTED_BLOCK_SIZE);
        float[] scales = new float[blocks];
        MemorySegment codes = arena.allocate(absmax.length);
        float[] centred = new float[FourBitFormat.NESTED_BLOCK_SIZE];
        for (int block = 0; block < blocks; block++) {
            int first = block * FourBitFormat.NESTED_BLOCK_SIZE;
            int count = Math.min(FourBitFormat.NESTED_BLOCK_SIZE, absmax.length - first);
            for (int i = 0; i < count; i++) {
                centred[i] = absmax[first + i] - offset;
            }
            scales[block] = PlainFourBitCodec.largestMagnitude(centred, count);
            float reciprocal = PlainFourBitCodec.reciprocal(scales[block]);
            for (int i = 0; i < count; i++) {
                codes.set(TensorView.BYTE, first + i, (byte) map.encode(centred[i] * reciprocal));
            }
        }
        return new Absmax.Nested(codes, copy(scales, arena), offset, map);
    }

    private static MemorySegment copy(float[] values, Arena arena) {
        MemorySegment segment = arena.allocate(4L * values.length);
        MemorySegment.copy(values, 0, segment, TensorView.FLOAT, 0, values.length);
        return segment;
    }
}
