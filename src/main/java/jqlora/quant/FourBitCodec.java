package jqlora.quant;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import jqlora.tensor.TensorView;
import jqlora.tensor.Workers;

/** Weights to 4 bits and back. Every implementation gives the same bytes for every input. */
public interface FourBitCodec {
    /**
     * Quantizes {@code weight}.
     *
     * @param weight any shape, F32, F16 or BF16; read
     * @param arena gives the memory of the result; shared or automatic, since several threads write a large tensor
     * @throws IllegalArgumentException for another dtype
     */
    QuantizedTensor quantize(TensorView weight, FourBitFormat format, Arena arena);

    /**
     * Decodes elements {@code first} ... {@code first + count - 1} of the flattened tensor, rounded to the format's dtype.
     *
     * @param out overwritten from index {@code at}
     */
    void dequantize(QuantizedTensor tensor, long first, int count, float[] out, int at);

    /**
     * Decodes the whole tensor.
     *
     * @param out F32 [elements], overwritten
     */
    void dequantize(QuantizedTensor tensor, MemorySegment out);

    /** The fastest codec that this JVM can run: {@link VectorFourBitCodec} where the Vector API's module is there and vectors are long enough. */
    static FourBitCodec fastest(Workers workers) {
        return vectorModulePresent() && VectorFourBitCodec.fitsProcessor() ? new VectorFourBitCodec(workers) : new PlainFourBitCodec();
    }

    /** Whether the Vector API is there: from the start, by {@code --add-modules jdk.incubator.vector}, or brought in since. */
    static boolean vectorModulePresent() {
        try {
            Class.forName("jdk.incubator.vector.Vector", false, null);
            return true;
        } catch (ClassNotFoundException absent) {
            return false;
        }
    }
}
