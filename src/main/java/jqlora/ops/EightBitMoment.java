package jqlora.ops;

import jqlora.tensor.DType;
import jqlora.tensor.Tensor;

/**
 * A moment of an optimizer in 8 bits: {@code map[codes[i]] absmax[i / 256]}, with the signed {@link jqlora.quant.DynamicMap} for the first moment and the
 * unsigned one for the second.
 *
 * @param codes U8, shaped like the parameter
 * @param absmax F32 [elements / 256, rounded up]
 */
public record EightBitMoment(Tensor codes, Tensor absmax) implements AutoCloseable {
    /** Elements that share an absmax, as in bitsandbytes since 0.44. */
    public static final int BLOCK_SIZE = 256;

    /** A moment of zero, for a parameter of {@code dims}. */
    static EightBitMoment zeros(Store ops, long... dims) {
        Tensor codes = ops.zeros(DType.U8, dims);
        return new EightBitMoment(codes, ops.zeros(DType.F32, blocks(codes.shape().size())));
    }

    static long blocks(long elements) {
        return Math.ceilDiv(elements, (long) BLOCK_SIZE);
    }

    @Override
    public void close() {
        codes.close();
        absmax.close();
    }
}
