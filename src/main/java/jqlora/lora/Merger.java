package jqlora.lora;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import jqlora.format.BitsAndBytesState;
import jqlora.format.Checkpoint;
import jqlora.format.SafetensorsException;
import jqlora.model.CausalLm;
import jqlora.model.Linear;
import jqlora.ops.LoraFactors;
import jqlora.ops.Ops;
import jqlora.ops.Parameter;
import jqlora.ops.Weight;
import jqlora.quant.FourBitCodec;
import jqlora.quant.FourBitFormat;
import jqlora.quant.StochasticRounding;
import jqlora.tensor.DType;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;
import jqlora.tensor.Workers;

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
        Map<String, Weight> merged = new java.util.LinkedHashMap<>();
        try (Workers workers = Workers.onAllProcessors()) {
            FourBitCodec codec = FourBitCodec.fastest(workers);
            for (Map.Entry<String, LoraFactors> entry : adapter.factors().entrySet()) {
                merged.put(entry.getKey(), merged(model.ops(), model.linear(entry.getKey()), entry.getValue(), route, codec));
            }
        } catch (IOException | RuntimeException failed) {
            merged.values().forEach(Weight::close);
            throw failed;
        }
        adapter.detach();
        Deque<Undo> undo = new ArrayDeque<>();
        merged.forEach((module, weight) -> undo.push(new Undo(model.linear(module), model.linear(module).replaceWeight(weight))));
        return new Merged(adapter, new ArrayList<>(undo));
    }

    private record Undo(Linear linear, Weight before) { }

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
            undo.forEach(step -> step.linear.replaceWeight(step.before).close());
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

    private Weight merged(Ops ops, Linear linear, LoraFactors factors, MergeRoute route, FourBitCodec codec) throws IOException {
        Shape shape = linear.weight().shape();
        if (route.isToFourBit() && !(linear.weight() instanceof Weight.FourBit)) {
            throw new IllegalArgumentException("merge: " + linear.name() + " is not in 4 bits; " + route + " fits a 4-bit base only, take " + MergeRoute.ONTO_BASE);
        }
        try (Arena arena = Arena.ofShared()) {
            MemorySegment sum = arena.allocate(4 * shape.size(), 64);
            DType dtype = route.needsOriginal() ? readOriginal(linear.name() + ".weight", shape, sum) : readBase(ops, linear.weight(), sum);
            LoraDelta.of(ops, factors).addTo(sum);
            requireFinite(linear.name(), sum);
            if (!(linear.weight() instanceof Weight.FourBit base) || !route.isToFourBit()) {
                return dense(ops, linear.name() + ".weight", shape, sum, dtype, arena);
            }
            return switch (route) {
                case STOCHASTIC_4BIT -> ops.upload(new StochasticRounding(seed, factors.module()).quantize(sum, shape, base.format(), arena));
                // the sum is float32 in PEFT, and that becomes the type that decoded values have
                case PEFT_4BIT -> ops.upload(codec.quantize(new TensorView(DType.F32, shape, sum), base.format().withDtype(DType.F32), arena));
                default -> ops.upload(codec.quantize(rounded(sum, shape, base.format().dtype(), arena), base.format(), arena));
            };
        }
    }

    private DType readOriginal(String name, Shape shape, MemorySegment out) throws IOException {
        TensorView tensor = original.get(name);
        if (!tensor.shape().equals(shape) || !tensor.dtype().isWeightType()) {
            throw new SafetensorsException(original.path(), name, "is " + tensor + ", for a merge it must be F32, BF16 or F16 " + shape);
        }
        float[] floats = new float[1 << 16];
        for (long at = 0; at < shape.size(); at += floats.length) {
            int count = (int) Math.min(floats.length, shape.size() - at);
            FloatConversion.toFloats(tensor.dtype(), tensor.data(), at, floats, 0, count);
            MemorySegment.copy(floats, 0, out, TensorView.FLOAT, at * 4, count);
        }
        return tensor.dtype();
    }

    private static DType readBase(Ops ops, Weight weight, MemorySegment out) {
        try (Tensor floats = ops.toFloat(weight)) {
            out.copyFrom(ops.download(floats).data());
        }
        return switch (weight) {
            case Weight.FourBit fourBit -> fourBit.format().dtype();
            case Weight.Dense(Parameter parameter) -> parameter.value().dtype();
        };
    }

    private static void requireFinite(String module, MemorySegment values) {
        for (long at = 0; at < values.byteSize(); at += 4) {
            if (!Float.isFinite(values.get(TensorView.FLOAT, at))) {
                throw new IllegalArgumentException("merge: element " + at / 4 + " of " + module + " would be " + values.get(TensorView.FLOAT, at)
                        + ", it must be finite; the adapter is damaged or its training diverged");
            }
        }
    }

    private static Weight dense(Ops ops, String name, Shape shape, MemorySegment sum, DType dtype, Arena arena) {
        return new Weight.Dense(Parameter.frozen(name, ops.upload(rounded(sum, shape, dtype, arena))));
    }

    private static TensorView rounded(MemorySegment sum, Shape shape, DType dtype, Arena arena) {
        if (dtype == DType.F32) {
            return new TensorView(dtype, shape, sum);
        }
        TensorView rounded = new TensorView(dtype, shape, arena.allocate(dtype.byteSize(shape.size()), 64));
        float[] floats = new float[1 << 16];
        for (long at = 0; at < shape.size(); at += floats.length) {
            int count = (int) Math.min(floats.length, shape.size() - at);
            MemorySegment.copy(sum, TensorView.FLOAT, at * 4, floats, 0, count);
            FloatConversion.fromFloats(floats, 0, count, dtype, rounded.data(), at);
        }
        return rounded;
    }
}
