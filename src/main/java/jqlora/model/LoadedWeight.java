package jqlora.model;

import jqlora.quant.FourBitFormat;
import jqlora.tensor.DType;

/** Where a linear layer's weight came from when the model was loaded, and what it was kept as. */
public sealed interface LoadedWeight {
    /** Numbers of the checkpoint, kept as numbers.
     * @param dtype what they were kept as */
    record Numbers(DType dtype) implements LoadedWeight { }

    /** Numbers of the checkpoint, put into 4 bits while loading. */
    record Quantized(FourBitFormat format) implements LoadedWeight { }

    /** In 4 bits in the checkpoint itself: the numbers that it was made of are not there. */
    record FourBitFile(FourBitFormat format) implements LoadedWeight { }

    /** The 4-bit format; null for numbers. */
    default FourBitFormat fourBit() {
        return switch (this) {
            case Numbers numbers -> null;
            case Quantized(var format) -> format;
            case FourBitFile(var format) -> format;
        };
    }

    /** What it was kept as, such as {@code BF16}. */
    default String kept() {
        return this instanceof Numbers(DType dtype) ? dtype.toString() : fourBit().toString();
    }
}
