package jqlora.quant;

import jqlora.tensor.DType;

/**
 * How a tensor is quantized to 4 bits.
 *
 * @param type the code, NF4 or FP4
 * @param blockSize consecutive elements that share an absmax: a power of two from 32 to 4096
 * @param doubleQuantization whether the absmax values are themselves stored in 8 bits
 * @param dtype the type that decoded values are rounded to, one of F32, F16 and BF16: the type of the original weight
 */
public record FourBitFormat(FourBitType type, int blockSize, boolean doubleQuantization, DType dtype) {
    /** Elements that share a second-level absmax under double quantization. */
    public static final int NESTED_BLOCK_SIZE = 256;

    public FourBitFormat {
        if (blockSize < 32 || blockSize > 4096 || Integer.bitCount(blockSize) != 1) {
            throw new IllegalArgumentException("blockSize is " + blockSize + ", it must be a power of two from 32 to 4096");
        }
        if (!dtype.isWeightType()) {
            throw new IllegalArgumentException("dtype is " + dtype + ", it must be F32, F16 or BF16");
        }
    }

    /** NF4 in blocks of 64 with double quantization, as qlora.py (qlora.py:165-173); decoded values are F32. */
    public static FourBitFormat defaults() {
        return new FourBitFormat(FourBitType.NF4, 64, true, DType.F32);
    }

    public FourBitFormat withType(FourBitType type) {
        return new FourBitFormat(type, blockSize, doubleQuantization, dtype);
    }

    public FourBitFormat withBlockSize(int blockSize) {
        return new FourBitFormat(type, blockSize, doubleQuantization, dtype);
    }

    public FourBitFormat withDoubleQuantization(boolean doubleQuantization) {
        return new FourBitFormat(type, blockSize, doubleQuantization, dtype);
    }

    public FourBitFormat withDtype(DType dtype) {
        return new FourBitFormat(type, blockSize, doubleQuantization, dtype);
    }

    /** Blocks of a tensor of {@code elements} elements; the last may be partial. */
    public long blocks(long elements) {
        return Math.ceilDiv(elements, (long) blockSize);
    }

    /** Second-level blocks of a tensor of {@code elements} elements; 0 without double quantization. */
    public long nestedBlocks(long elements) {
        return doubleQuantization ? Math.ceilDiv(blocks(elements), (long) NESTED_BLOCK_SIZE) : 0;
    }

    /** Bytes of codes, absmax values and second-level absmax values together. */
    public long byteSize(long elements) {
        return Math.ceilDiv(elements, 2L) + (doubleQuantization ? blocks(elements) + 4 * nestedBlocks(elements) : 4 * blocks(elements));
    }

    /** Such as {@code nf4, blocks of 64, double quantization}. */
    @Override
    public String toString() {
        return type.id() + ", blocks of " + blockSize + (doubleQuantization ? ", double quantization" : "");
    }
}
