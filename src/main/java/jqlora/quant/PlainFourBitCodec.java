package jqlora.quant;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.TensorView;

/** The readable codec: one value after the other, in the order of the definition. The yardstick for {@link VectorFourBitCodec}. */
public final class PlainFourBitCodec implements FourBitCodec {
    @Override
    public QuantizedTensor quantize(TensorView weight, FourBitFormat format, Arena arena) {
        requireWeightType(weight);
        long elements = weight.shape().size();
        MemorySegment codes = arena.allocate(Math.ceilDiv(elements, 2L));
        float[] absmax = new float[Math.toIntExact(format.blocks(elements))];
        float[] values = new float[format.blockSize()];
        for (int block = 0; block < absmax.length; block++) {
            long first = (long) block * format.blockSize();
            int count = (int) Math.min(format.blockSize(), elements - first);
            FloatConversion.toFloats(weight.dtype(), weight.data(), first, values, 0, count);
            absmax[block] = largestMagnitude(values, count);
            encode(values, count, reciprocal(absmax[block]), format.type(), codes, first / 2);
        }
        return new QuantizedTensor(format, weight.shape(), codes, DoubleQuantization.store(absmax, format, arena));
    }

    static void requireWeightType(TensorView weight) {
        if (!weight.dtype().isWeightType()) {
            throw new IllegalArgumentException("quantize: dtype " + weight.dtype() + " must be F32, F16 or BF16");
        }
    }

    /** The largest magnitude; a NaN does not count, and a magnitude below the normal range is zero, as on the GPU. */
    static float largestMagnitude(float[] values, int count) {
        float largest = 0;
        for (int i = 0; i < count; i++) {
            float magnitude = Math.abs(values[i]);
            if (magnitude > largest) {
                largest = magnitude;
            }
        }
        return flushed(largest);
    }

    /** 1 / {@code absmax}, as the GPU rounds it. */
    static float reciprocal(float absmax) {
        return CudaReciprocal.of(absmax);
    }

    private static float flushed(float value) {
        return value < Float.MIN_NORMAL ? 0f : value;
    }

    private static void encode(float[] values, int count, float scale, FourBitType type, MemorySegment codes, long at) {
        for (int i = 0; i < count; i += 2) {
            int high = type.encode(values[i] * scale);
            int low = type.encode(i + 1 < count ? values[i + 1] * scale : 0f * scale);
            codes.set(TensorView.BYTE, at + i / 2, (byte) (high << 4 | low));
        }
    }

    @Override
    public void dequantize(QuantizedTensor tensor, long first, int count, float[] out, int at) {
        FourBitFormat format = tensor.format();
        for (int i = 0; i < count; i++) {
            long element = first + i;
            int pair = tensor.codes().get(TensorView.BYTE, element / 2);
            int code = (element & 1) == 0 ? pair >>> 4 & 15 : pair & 15;
            float value = format.type().value(code) * tensor.absmax().get(element / format.blockSize());
            out[at + i] = FloatConversion.round(value, format.dtype());
        }
    }

    @Override
    public void dequantize(QuantizedTensor tensor, MemorySegment out) {
        float[] values = new float[4096];
        long elements = tensor.shape().size();
        for (long first = 0; first < elements; first += values.length) {
            int count = (int) Math.min(values.length, elements - first);
            dequantize(tensor, first, count, values, 0);
            MemorySegment.copy(values, 0, out, TensorView.FLOAT, first * 4, count);
        }
    }
}
