package jqlora.ops;

import java.util.List;
import java.util.function.Predicate;
import jqlora.tensor.ShapeException;

/**
 * Linear layers that read one input; their results lie side by side.
 *
 * @param layers at least one, all with the same inFeatures
 */
public record LinearGroup(List<LinearWeights> layers) {
    public LinearGroup {
        layers = List.copyOf(layers);
        if (layers.isEmpty()) {
            throw new IllegalArgumentException("linear: the group has no layers, it must have at least one");
        }
        long inFeatures = layers.getFirst().weight().inFeatures();
        for (LinearWeights layer : layers) {
            if (layer.weight().inFeatures() != inFeatures) {
                throw new ShapeException("linear: a layer of the group has " + layer.weight().inFeatures() + " input features, it must have " + inFeatures
                        + " like the first one");
            }
        }
    }

    public static LinearGroup of(LinearWeights... layers) {
        return new LinearGroup(List.of(layers));
    }

    public long inFeatures() {
        return layers.getFirst().weight().inFeatures();
    }

    /** Columns of all results together. */
    public long outFeatures() {
        return layers.stream().mapToLong(layer -> layer.weight().outFeatures()).sum();
    }

    /** The ranks of all adapters together; 0 where no layer has one. */
    public int rank() {
        return layers.stream().mapToInt(layer -> layer.lora() == null ? 0 : (int) layer.lora().r()).sum();
    }

    /** Whether dropout zeroes anything that an adapter of the group reads. */
    public boolean isDropped(Dropout dropout) {
        return layers.stream().anyMatch(layer -> dropout.reaches(layer.lora()));
    }

    /** Whether the numbers of a layer that are no adapter's are trained. */
    public boolean hasTrainedWeight() {
        Predicate<Weight> trained = weight -> weight instanceof Weight.Dense(Parameter parameter) && parameter.isTrained();
        return layers.stream().anyMatch(layer -> trained.test(layer.weight()));
    }
}
