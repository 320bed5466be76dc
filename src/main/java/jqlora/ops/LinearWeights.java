package jqlora.ops;

import jqlora.tensor.Shape;
import jqlora.tensor.ShapeException;

/**
 * All numbers of one linear layer: {@code y = W x + bias + scaling B A dropout(x)}.
 *
 * @param bias [outFeatures]; null when there is none
 * @param lora null when the layer has no adapter, or it is switched off
 */
public record LinearWeights(Weight weight, Parameter bias, LoraFactors lora) {
    public LinearWeights {
        if (bias != null) {
            ShapeException.require(bias.name(), bias.value().shape(), Shape.of(weight.outFeatures()));
        }
        if (lora != null) {
            ShapeException.require(lora.a().name(), lora.a().value().shape(), Shape.of(lora.r(), weight.inFeatures()));
            ShapeException.require(lora.b().name(), lora.b().value().shape(), Shape.of(weight.outFeatures(), lora.r()));
        }
    }
}
