package jqlora.ops;

import jqlora.quant.FourBitFormat;
import jqlora.tensor.DType;

/** What a weight with an adapter's update in it is stored as. */
public sealed interface MergedStorage {
    /** Numbers of {@code dtype}: F32, BF16 or F16. */
    record Numbers(DType dtype) implements MergedStorage {
        public Numbers {
            if (!dtype.isWeightType()) {
                throw new IllegalArgumentException("merge: dtype is " + dtype + ", it must be F32, BF16 or F16");
            }
        }
    }

    /** 4 bits, the codes and absmax values of {@link jqlora.quant.FourBitCodec#quantize} for the sum rounded to the format's dtype. */
    record Nearest(FourBitFormat format) implements MergedStorage { }

    /** 4 bits, rounded at random as {@link jqlora.quant.StochasticRounding} does, with the layer's {@link LoraFactors#module} as its stream. */
    record Stochastic(FourBitFormat format, long seed) implements MergedStorage { }
}
