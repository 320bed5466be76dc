package jqlora.lora;

import java.io.IOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import jqlora.format.BitsAndBytesState;
import jqlora.format.Checkpoint;
import jqlora.format.SafetensorsException;
import jqlora.model.CausalLm;
import jqlora.model.Linear;
import jqlora.model.MergedUpdate;
import jqlora.model.WeightState;
import jqlora.ops.LoraFactors;
import jqlora.ops.MergedStorage;
import jqlora.ops.Ops;
import jqlora.ops.Parameter;
import jqlora.ops.Weight;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.TensorView;

/**
 * Merges adapters into weights, module by module: {@code W + scaling B A} in float32, then stored as the route says.
 *
 * @param original the checkpoint that the base was loaded from; null where no route needs it
 * @param seed of stochastic rounding
 */
public record Merger(Checkpoint original, long seed) {
    private static final long DEFAULT_SEED = 42;

    /** A merger without the original checkpoint. */
    public static Merger withoutOriginal() {
        return new Merger(null, DEFAULT_SEED);
    }

    /** A merger that can go from {@code original}, which stays the caller's. */
    public static Merger withOriginal(Checkpoint original) {
        return new Merger(original, DEFAULT_SEED);
    }

    public Merger withSeed(long seed) {
        return new Merger(original, seed);
    }

    /**
     * The route for a merge that keeps the base's own storage: onto a dense base as it is; into 4 bits from the original where it is at hand,
     * else by stochastic rounding. A checkpoint that is in 4 bits itself is no original.
     */
    public MergeRoute defaultRoute(LoraAdapter adapter) {
        boolean fourBit = adapter.factors().keySet().stream().anyMatch(module -> adapter.model().linear(module).weight() instanceof Weight.FourBit);
        boolean numbers = original != null && adapter.factors().keySet().stream().noneMatch(module -> BitsAndBytesState.isFourBit(original, module + ".weight"));
        return !fourBit ? MergeRoute.ONTO_BASE : numbers ? MergeRoute.ORIGINAL_TO_4BIT : MergeRoute.STOCHASTIC_4BIT;
    }

    /**
     * Merges {@code adapter}, which must be in force, into its model and takes it out of force.
     *
     * @return the weights as they were, to undo the merge exactly; closing it makes the merge final
     * @throws IOException if the original cannot be read
     * @throws IllegalArgumentException if the adapter is not in force, the route does not fit the base, the original is missing, or a
     *     merged weight is not finite
     */
    public Merged merge(LoraAdapter adapter, MergeRoute route) throws IOException {
        if (!adapter.isAttached()) {
            throw new IllegalArgumentException("merge: the adapter is not in force; attach it first");
        }
        if (route.needsOriginal() && original == null) {
            throw new IllegalArgumentException("merge: " + route + " needs the original checkpoint; give it, or take " + MergeRoute.STOCHASTIC_4BIT + " or " + MergeRoute.ONTO_BASE);
        }
        CausalLm model = adapter.model();
        Map<String, Weight> merged = new LinkedHashMap<>();
        Map<String, WeightState> states = new LinkedHashMap<>();
        try {
            for (Map.Entry<String, LoraFactors> entry : adapter.factors().entrySet()) {
                states.put(entry.getKey(), model.linear(entry.getKey()).state().with(update(adapter, entry.getValue(), route)));
                merged.put(entry.getKey(), merged(model.ops(), model.linear(entry.getKey()), entry.getValue(), route));
            }
        } catch (IOException | RuntimeException failed) {
            merged.values().forEach(Weight::close);
            throw failed;
        }
        adapter.detach();
        Deque<Undo> undo = new ArrayDeque<>();
        merged.forEach((module, weight) -> {
            Linear linear = model.linear(module);
            WeightState before = linear.state();
            undo.push(new Undo(linear, linear.replaceWeight(weight, states.get(module)), before));
        });
        return new Merged(adapter, new ArrayList<>(undo));
    }

    private MergedUpdate update(LoraAdapter adapter, LoraFactors factors, MergeRoute route) {
        Ops ops = adapter.model().ops();
        return new MergedUpdate(adapter.config().toString(), route == MergeRoute.STOCHASTIC_4BIT ? route + " with seed " + seed : route.toString(),
                ops.download(factors.a().value()), ops.download(factors.b().value()), factors.scaling());
    }

    private record Undo(Linear linear, Weight before, WeightState stateBefore) { }

    /** What a merge replaced. */
    public static final class Merged implements AutoCloseable {
        private final LoraAdapter adapter;
        private final List<Undo> undo;

        private Merged(LoraAdapter adapter, List<Undo> undo) {
            this.adapter = adapter;
            this.undo = undo;
        }

        /** The weights of {@code module} before the merge; null if the merge did not touch it, or is final. */
        public Weight before(String module) {
            return undo.stream().filter(step -> step.linear.name().equals(module)).map(Undo::before).findFirst().orElse(null);
        }

        /** Puts the weights back, the very bytes, and the adapter in force. */
        public void unmerge() {
            undo.forEach(step -> step.linear.replaceWeight(step.before, step.stateBefore).close());
            undo.clear();
            adapter.attach();
        }

        /** Makes the merge final: gives back the memory of the weights as they were. */
        @Override
        public void close() {
            undo.forEach(step -> step.before.close());
            undo.clear();
        }
    }

    private Weight merged(Ops ops, Linear linear, LoraFactors factors, MergeRoute route) throws IOException {
        Weight base = linear.weight();
        if (route.isToFourBit() && !(base instanceof Weight.FourBit)) {
            throw new IllegalArgumentException("merge: " + linear.name() + " is not in 4 bits; " + route + " fits a 4-bit base only, take " + MergeRoute.ONTO_BASE);
        }
        if (!route.needsOriginal()) {
            return ops.merge(linear.name(), base, factors, storage(base, route, dtype(base)));
        }
        TensorView numbers = original(linear.name() + ".weight", base.shape());
        try (Weight uploaded = new Weight.Dense(Parameter.frozen(linear.name() + ".weight", ops.upload(numbers)))) {
            return ops.merge(linear.name(), uploaded, factors, storage(base, route, numbers.dtype()));
        }
    }

    private MergedStorage storage(Weight base, MergeRoute route, DType dtype) {
        if (!route.isToFourBit() || !(base instanceof Weight.FourBit fourBit)) {
            return new MergedStorage.Numbers(dtype);
        }
        return switch (route) {
            case STOCHASTIC_4BIT -> new MergedStorage.Stochastic(fourBit.format(), seed);
            // the sum is float32 in PEFT, and that becomes the type that decoded values have
            case PEFT_4BIT -> new MergedStorage.Nearest(fourBit.format().withDtype(DType.F32));
            default -> new MergedStorage.Nearest(fourBit.format());
        };
    }

    private TensorView original(String name, Shape shape) throws IOException {
        TensorView tensor = original.get(name);
        if (!tensor.shape().equals(shape) || !tensor.dtype().isWeightType()) {
            throw new SafetensorsException(original.path(), name, "is " + tensor + ", for a merge it must be F32, BF16 or F16 " + shape);
        }
        return tensor;
    }

    private static DType dtype(Weight weight) {
        return switch (weight) {
            case Weight.FourBit fourBit -> fourBit.format().dtype();
            case Weight.Dense(Parameter parameter) -> parameter.value().dtype();
        };
    }
}
