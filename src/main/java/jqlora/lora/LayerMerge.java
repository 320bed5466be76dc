package jqlora.lora;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import jqlora.model.Linear;
import jqlora.model.LoadedWeight;
import jqlora.model.MergedUpdate;
import jqlora.model.StoredTensors;
import jqlora.ops.LoraFactors;
import jqlora.ops.MergedStorage;
import jqlora.ops.Ops;
import jqlora.ops.Parameter;
import jqlora.ops.Weight;
import jqlora.quant.FourBitFormat;
import jqlora.tensor.DType;
import jqlora.tensor.TensorView;
import jqlora.tensor.Workers;

/**
 * The merge of one layer: the sum in float32 of what the route starts from and of the updates, and what it is stored as.
 *
 * @param original the checkpoint; null where no route needs it
 * @param seed of stochastic rounding in a layer that nothing was merged into; each merge that is in force there counts one further
 */
record LayerMerge(Ops ops, StoredTensors original, long seed, Workers workers) {
    /** What {@code factors}, merged into {@code linear} by {@code route}, are in its weight. */
    MergedUpdate update(Linear linear, LoraFactors factors, MergeRoute route, String adapter) {
        String how = route == MergeRoute.STOCHASTIC_4BIT ? route + " with seed " + seedOf(linear) : route.toString();
        return new MergedUpdate(adapter, how, ops.download(factors.a().value()), ops.download(factors.b().value()), factors.scaling());
    }

    /**
     * The merged weight, new. A route from the original adds the updates that are in the weight already, in the order of their merges, and then
     * {@code factors}.
     *
     * @throws IOException if the original lacks the weight's numbers, or has others than the model was loaded from
     */
    Weight merged(Linear linear, LoraFactors factors, MergeRoute route) throws IOException {
        Weight base = linear.weight();
        if (!route.needsOriginal()) {
            return ops.merge(linear.name(), base, factors, storage(linear, route, dtype(base)));
        }
        TensorView numbers = original(linear);
        Weight sum = new Weight.Dense(Parameter.frozen(linear.name() + ".weight", ops.upload(numbers)));
        try {
            for (MergedUpdate earlier : linear.state().merges()) {
                Weight before = sum;
                sum = plus(linear.name(), before, earlier, factors.module());
                before.close();
            }
            return ops.merge(linear.name(), sum, factors, storage(linear, route, numbers.dtype()));
        } finally {
            sum.close();
        }
    }

    private Weight plus(String layer, Weight weight, MergedUpdate update, int module) {
        try (Parameter a = Parameter.frozen(layer + ": merged A", ops.upload(update.a())); Parameter b = Parameter.frozen(layer + ": merged B", ops.upload(update.b()))) {
            return ops.merge(layer, weight, new LoraFactors(a, b, update.scaling(), 0f, module), new MergedStorage.Numbers(DType.F32));
        }
    }

    private MergedStorage storage(Linear linear, MergeRoute route, DType dtype) {
        if (!route.isToFourBit()) {
            return new MergedStorage.Numbers(dtype);
        }
        FourBitFormat format = linear.weight() instanceof Weight.FourBit present ? present.format() : linear.state().loaded().fourBit();
        return switch (route) {
            case STOCHASTIC_4BIT -> new MergedStorage.Stochastic(format, seedOf(linear));
            // the sum is float32 in PEFT, and that becomes the type that decoded values have
            case PEFT_4BIT -> new MergedStorage.Nearest(format.withDtype(DType.F32));
            default -> new MergedStorage.Nearest(linear.state().loaded().fourBit());
        };
    }

    /** Not the same random numbers twice for one weight: the roundings would lean the same way. */
    private long seedOf(Linear linear) {
        return seed + linear.state().merges().size();
    }

    private TensorView original(Linear linear) throws IOException {
        String name = linear.name() + ".weight";
        if (original.isFourBit(name)) {
            throw original.fault(name, "is in 4 bits there too, a merge from the original needs its numbers; give the 16-bit checkpoint,"
                    + " or take " + without());
        }
        TensorView tensor = original.get(name);
        if (!tensor.shape().equals(linear.weight().shape()) || !tensor.dtype().isWeightType()) {
            throw original.fault(name, "is " + tensor + ", for a merge it must be F32, BF16 or F16 " + linear.weight().shape()
                    + "; give the checkpoint that the model was loaded from, or take " + without());
        }
        try (Arena arena = Arena.ofShared()) {
            if (!linear.wasLoadedFrom(tensor, ops, arena, workers)) {
                throw original.fault(name, "has other numbers than the model was loaded from, a merge from it would lose those of the"
                        + " model; give the checkpoint that the model was loaded from, or take " + without());
            }
        }
        return tensor;
    }

    /** The routes that need no original. */
    static String without() {
        return String.join(" or ", List.of(MergeRoute.STOCHASTIC_4BIT.name(), MergeRoute.ONTO_BASE.name()));
    }

    private static DType dtype(Weight weight) {
        return switch (weight) {
            case Weight.FourBit fourBit -> fourBit.format().dtype();
            case Weight.Dense(Parameter parameter) -> parameter.value().dtype();
        };
    }
}
