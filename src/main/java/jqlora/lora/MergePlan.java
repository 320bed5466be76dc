package jqlora.lora;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import jqlora.format.Checkpoint;
import jqlora.model.Linear;
import jqlora.model.StoredTensors;
import jqlora.ops.Parameter;
import jqlora.ops.Weight;

/**
 * Which route each layer of an adapter takes.
 *
 * @param routes layer to route, in the order of the forward
 */
public record MergePlan(Map<String, MergeRoute> routes) {
    public MergePlan {
        routes = Collections.unmodifiableMap(new LinkedHashMap<>(routes));
    }

    /**
     * For each layer the route that keeps the storage it has now: numbers are merged onto as they are; 4 bits are made again from the original where
     * it has the layer's numbers, else by stochastic rounding.
     *
     * @param original the checkpoint that the model was loaded from; null if it is not at hand
     */
    public static MergePlan byDefault(LoraAdapter adapter, Checkpoint original) {
        Map<String, MergeRoute> routes = new LinkedHashMap<>();
        for (String module : adapter.factors().keySet()) {
            boolean fourBit = adapter.model().linear(module).weight() instanceof Weight.FourBit;
            routes.put(module, !fourBit ? MergeRoute.ONTO_BASE : original != null && new StoredTensors(original, adapter.model().spec()).hasNumbers(module + ".weight") ? MergeRoute.ORIGINAL_TO_4BIT : MergeRoute.STOCHASTIC_4BIT);
        }
        return new MergePlan(routes);
    }

    /**
     * {@code route} wherever it fits. In a model that has both kinds, layers that were loaded as numbers are merged onto as they are where the route
     * goes into 4 bits.
     *
     * @throws IllegalArgumentException if the route goes into 4 bits and no layer of the adapter was loaded in 4 bits, or starts from the original where
     *     that is not at hand, or a layer's weight is trained itself, so that the original is not what it is now
     */
    public static MergePlan of(LoraAdapter adapter, MergeRoute route, Checkpoint original) {
        if (route.needsOriginal() && original == null) {
            throw new IllegalArgumentException("merge: " + route + " needs the original checkpoint; give it, or take " + LayerMerge.without());
        }
        Map<String, MergeRoute> routes = new LinkedHashMap<>();
        for (String module : adapter.factors().keySet()) {
            Linear linear = adapter.model().linear(module);
            MergeRoute fitting = route.isToFourBit() && linear.state().loaded().fourBit() == null ? MergeRoute.ONTO_BASE : route;
            if (fitting.needsOriginal() && linear.weight() instanceof Weight.Dense(Parameter parameter) && parameter.isTrained()) {
                throw new IllegalArgumentException("merge: the weight of " + module + " is trained itself, " + route + " would lose what it has learned; take "
                        + MergeRoute.ONTO_BASE);
            }
            routes.put(module, fitting);
        }
        if (route.isToFourBit() && !routes.containsValue(route)) {
            throw new IllegalArgumentException("merge: " + routes.keySet().iterator().next() + " is not in 4 bits; " + route + " fits a 4-bit base only, take "
                    + MergeRoute.ONTO_BASE + ", or merge without naming a route");
        }
        return new MergePlan(routes);
    }

    /** Such as {@code ORIGINAL_TO_4BIT in 10 layers, ONTO_BASE in 4}. */
    @Override
    public String toString() {
        StringBuilder text = new StringBuilder();
        for (MergeRoute route : MergeRoute.values()) {
            int count = Collections.frequency(routes.values(), route);
            if (count > 0) {
                text.append(text.isEmpty() ? "" : ", ").append(route).append(" in ").append(count).append(text.indexOf(" layer") < 0 ? count == 1 ? " layer" : " layers" : "");
            }
        }
        return text.toString();
    }
}
