package jqlora.lora;

import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import jqlora.format.Checkpoint;
import jqlora.model.CausalLm;
import jqlora.model.StoredTensors;
import jqlora.model.Linear;
import jqlora.model.MergedUpdate;
import jqlora.model.WeightState;
import jqlora.ops.LoraFactors;
import jqlora.ops.Weight;
import jqlora.tensor.Workers;

/**
 * Merges adapters into weights, module by module: {@code W + scaling B A} in float32, then stored as the route says. Several adapters may be merged one
 * after the other, by whatever routes: each layer knows what is in its weight, and a route that starts from the original adds all of it.
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
     * The route that {@link #merge(LoraAdapter)} takes for the layers that are in 4 bits, or {@link MergeRoute#ONTO_BASE} if none is. A checkpoint that is in
     * 4 bits itself is no original.
     */
    public MergeRoute defaultRoute(LoraAdapter adapter) {
        Map<String, MergeRoute> routes = MergePlan.byDefault(adapter, original).routes();
        return routes.containsValue(MergeRoute.STOCHASTIC_4BIT) ? MergeRoute.STOCHASTIC_4BIT
                : routes.containsValue(MergeRoute.ORIGINAL_TO_4BIT) ? MergeRoute.ORIGINAL_TO_4BIT : MergeRoute.ONTO_BASE;
    }

    /** As {@link #merge(LoraAdapter, MergeRoute)}, each layer by the route that keeps its storage: see {@link MergePlan#byDefault}. */
    public Merged merge(LoraAdapter adapter) throws IOException {
        return merge(adapter, MergePlan.byDefault(adapter, original));
    }

    /**
     * Merges {@code adapter}, which must be in force, into its model and takes it out of force. In a model that is partly in 4 bits, see
     * {@link MergePlan#of} for the layers that are not.
     *
     * @return the weights as they were, to undo the merge exactly; closing it makes the merge final
     * @throws IOException if the original cannot be read, lacks a weight's numbers or has others than the model was loaded from
     * @throws IllegalArgumentException if the adapter is not in force or merged already, the route does not fit the base, the original is missing, or a
     *     merged weight is not finite
     */
    public Merged merge(LoraAdapter adapter, MergeRoute route) throws IOException {
        adapter.requireUnmerged("merge");
        return merge(adapter, MergePlan.of(adapter, route, original));
    }

    private Merged merge(LoraAdapter adapter, MergePlan plan) throws IOException {
        adapter.requireUnmerged("merge");
        if (!adapter.isAttached()) {
            throw new IllegalArgumentException("merge: the adapter is not in force; attach it first");
        }
        CausalLm model = adapter.model();
        Map<String, Weight> weights = new LinkedHashMap<>();
        Map<String, MergedUpdate> updates = new LinkedHashMap<>();
        try (Workers workers = new Workers(model.ops().threads())) {
            LayerMerge layers = new LayerMerge(model.ops(), original == null ? null : new StoredTensors(original, model.spec()), seed, workers);
            for (Map.Entry<String, MergeRoute> step : plan.routes().entrySet()) {
                Linear linear = model.linear(step.getKey());
                LoraFactors factors = adapter.factors().get(step.getKey());
                linear.loadedPrint(model.ops(), workers);
                updates.put(linear.name(), requireNew(linear, layers.update(linear, factors, step.getValue(), adapter.config().toString())));
                weights.put(linear.name(), layers.merged(linear, factors, step.getValue()));
            }
        } catch (IOException | RuntimeException failed) {
            weights.values().forEach(Weight::close);
            throw failed;
        }
        return Merged.of(adapter, plan, weights, updates);
    }

    /** Another adapter with the very same numbers is the same adapter, loaded twice. */
    private static MergedUpdate requireNew(Linear linear, MergedUpdate update) {
        for (MergedUpdate present : linear.state().merges()) {
            if (!update.isZero() && present.print().equals(update.print())) {
                throw new IllegalArgumentException("merge: the weight of " + linear.name() + " has this very update in it already, from the merge of " + present
                        + "; detach the adapter, or undo that merge first. For twice the update give it twice the loraAlpha");
            }
        }
        return update;
    }

    /** What a layer was before a merge, and what the merge put into it. */
    private record Step(Linear linear, Weight before, WeightState stateBefore, MergedUpdate update) {
        boolean isOnTop() {
            return linear.state().merges().getLast() == update;
        }

        List<MergedUpdate> later() {
            List<MergedUpdate> all = linear.state().merges();
            return all.subList(stateBefore.merges().size() + 1, all.size());
        }
    }

    /** What a merge did, and what it replaced. */
    public static final class Merged implements AutoCloseable {
        private enum State { IN_FORCE, UNDONE, FINAL }

        private final LoraAdapter adapter;
        private final MergePlan plan;
        private final List<Step> steps = new ArrayList<>();
        private State state = State.IN_FORCE;

        private Merged(LoraAdapter adapter, MergePlan plan) {
            this.adapter = adapter;
            this.plan = plan;
        }

        private static Merged of(LoraAdapter adapter, MergePlan plan, Map<String, Weight> weights, Map<String, MergedUpdate> updates) {
            Merged merged = new Merged(adapter, plan);
            adapter.detach();
            weights.forEach((module, weight) -> {
                Linear linear = adapter.model().linear(module);
                WeightState before = linear.state();
                merged.steps.add(new Step(linear, linear.replaceWeight(weight, before.with(updates.get(module))), before, updates.get(module)));
            });
            adapter.setMerged(true);
            return merged;
        }

        public LoraAdapter adapter() {
            return adapter;
        }

        /** Which layer took which route. */
        public MergePlan plan() {
            return plan;
        }

        /** Whether it can still be undone: it is neither undone nor final. */
        public boolean isInForce() {
            return state == State.IN_FORCE;
        }

        /** The weights of {@code module} before the merge; null if the merge did not touch it, or is undone or final. */
        public Weight before(String module) {
            return steps.stream().filter(step -> step.linear.name().equals(module)).map(Step::before).findFirst().orElse(null);
        }

        /**
         * Puts the weights back, the very bytes, and the adapter in force, unless it was closed in between. Merges of other layers stay as they are, in
         * whatever order they were made. Undoing twice does nothing.
         *
         * @throws IllegalArgumentException if the merge is final, another was merged on top of it, or another adapter is in force in its layers; then
         *     nothing has changed
         */
        public void unmerge() {
            if (state == State.UNDONE) {
                return;
            }
            if (state == State.FINAL) {
                throw new IllegalArgumentException("unmerge: the merge of " + adapter.config() + " was made final by close(), the weights before it are gone; load the model again");
            }
            for (Step step : steps) {
                if (!step.isOnTop()) {
                    throw new IllegalArgumentException("unmerge: " + step.linear.name() + " has on top of " + step.update + " also " + String.join(", ",
                            step.later().reversed().stream().map(MergedUpdate::toString).toList())
                            + "; undo the later merges first, the last one first, or load the model again where one of them is final");
                }
                if (step.linear.lora() != null) {
                    throw new IllegalArgumentException("unmerge: " + step.linear.name() + " has another adapter in force; detach that one first");
                }
            }
            steps.forEach(step -> step.linear.replaceWeight(step.before, step.stateBefore).close());
            steps.clear();
            state = State.UNDONE;
            adapter.setMerged(false);
            if (!adapter.isClosed()) {
                adapter.attach();
            }
        }

        /** Makes the merge final: gives back the memory of the weights as they were. */
        @Override
        public void close() {
            steps.forEach(step -> step.before.close());
            steps.clear();
            state = state == State.IN_FORCE ? State.FINAL : state;
        }

        /** Such as {@code r 8, alpha 16, q_proj, v_proj: ORIGINAL_TO_4BIT in 60 layers}. */
        @Override
        public String toString() {
            return adapter.config() + ": " + plan;
        }
    }
}
