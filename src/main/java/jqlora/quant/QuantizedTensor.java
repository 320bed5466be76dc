package jqlora.quant;

import java.lang.foreign.MemorySegment;
import jqlora.tensor.Shape;
import jqlora.tensor.ShapeException;

/**
 * A tensor in 4 bits, in host memory.
 *
 * @param shape the shape of the original tensor; blocks run over its elements in row-major order and may cross rows
 * @param codes U8 [elements / 2, rounded up]: the element with the even index in the high four bits; when the number of elements is
 *     odd, the last low four bits hold the code of zero
 */
public record QuantizedTensor(FourBitFormat format, Shape shape, MemorySegment codes, Absmax absmax) {
    public QuantizedTensor {
        long elements = shape.size();
        check("codes", codes.byteSize(), Math.ceilDiv(elements, 2L), shape);
        switch (absmax) {
            case Absmax.Plain(var values) -> {
                if (format.doubleQuantization()) {
                    throw new IllegalArgumentException("4-bit tensor " + shape + ": plain absmax, but the format says double quantization");
                }
                check("absmax", values.byteSize(), 4 * format.blocks(elements), shape);
            }
            case Absmax.Nested nested -> {
                if (!format.doubleQuantization()) {
                    throw new IllegalArgumentException("4-bit tensor " + shape + ": nested absmax, but the format says no double quantization");
                }
                check("absmax", nested.codes().byteSize(), format.blocks(elements), shape);
                check("nested_absmax", nested.scales().byteSize(), 4 * format.nestedBlocks(elements), shape);
            }
        }
    }

    private static void check(String part, long actual, long needed, Shape shape) {
        if (actual != needed) {
            throw new ShapeException("4-bit tensor " + shape + ": " + part + " has " + actual + " bytes, it must have " + needed);
        }
    }

    /** Bytes of codes and absmax values. */
    public long byteSize() {
        return codes.byteSize() + absmax.byteSize();
    }

    /** Such as {@code [768, 768] in nf4, blocks of 64, double quantization}. */
    @Override
    public String toString() {
        return shape + " in " + format;
    }
}
