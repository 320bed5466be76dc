package jqlora.ops;

import jqlora.quant.FourBitFormat;
import jqlora.tensor.Shape;
import jqlora.tensor.ShapeException;
import jqlora.tensor.Tensor;

/** The weight of a linear layer, {@code [outFeatures, inFeatures]}: as numbers, or in 4 bits. */
public sealed interface Weight extends AutoCloseable {
    Shape shape();

    /** Bytes in the backend's memory, gradient not counted. */
    long byteSize();

    @Override
    void close();

    default long outFeatures() {
        return shape().dim(0);
    }

    default long inFeatures() {
        return shape().dim(1);
    }

    /** F32, BF16 or F16 numbers, trained when the parameter has a gradient. */
    record Dense(Parameter parameter) implements Weight {
        public Dense {
            requireMatrix(parameter.name(), parameter.value().shape());
        }

        @Override
        public Shape shape() {
            return parameter.value().shape();
        }

        @Override
        public long byteSize() {
            return parameter.value().byteSize();
        }

        @Override
        public void close() {
            parameter.close();
        }
    }

    /**
     * Frozen, in NF4 or FP4; decoded for each product and not kept.
     *
     * @param codes U8 [elements / 2]
     * @param absmax F32 [blocks], or U8 [blocks] under double quantization
     * @param nestedAbsmax F32 [blocks / 256, rounded up]; null without double quantization
     * @param offset what double quantization took off the absmax values; 0 without
     */
    record FourBit(FourBitFormat format, Shape shape, Tensor codes, Tensor absmax, Tensor nestedAbsmax, float offset) implements Weight {
        public FourBit {
            requireMatrix("4-bit weight", shape);
        }

        @Override
        public long byteSize() {
            return codes.byteSize() + absmax.byteSize() + (nestedAbsmax == null ? 0 : nestedAbsmax.byteSize());
        }

        @Override
        public void close() {
            codes.close();
            absmax.close();
            if (nestedAbsmax != null) {
                nestedAbsmax.close();
            }
        }
    }

    /** @throws ShapeException if {@code shape} does not have two dimensions */
    static void requireMatrix(String what, Shape shape) {
        if (shape.rank() != 2) {
            throw new ShapeException(what + " has shape " + shape + ", it must be [outFeatures, inFeatures]");
        }
    }
}
