package jqlora.model;

import java.io.IOException;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.LongFunction;
import jqlora.format.BitsAndBytesConfig;
import jqlora.format.HfConfig;
import jqlora.model.families.Families;
import jqlora.ops.Dropout;
import jqlora.ops.Ops;
import jqlora.ops.Rehearsal;
import jqlora.ops.RopeTable;
import jqlora.ops.Sequences;
import jqlora.quant.FourBitFormat;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;

/**
 * Tells what memory a training will take before it takes it, by a {@link Rehearsal} of its steps: the same passes in the same order, with nothing computed.
 */
public final class MemoryPlanner {
    private static final int SEARCH_STEPS = 6;
    /** Part of the limit that a budget found by search leaves. */
    private static final int ROOM = 20;
    /** A rehearsed step is the second one: the first makes what the later ones reuse. */
    private static final int STEPS = 2;
    private static final Dropout DROPOUT = new Dropout(1);

    private final CausalLm model;
    private final Function<Ops, Runnable> beside;

    /**
     * A planner for a model that is loaded, or planned. What is in use on its backend counts as it is.
     *
     * @param beside makes on the given backend what a training has beside model and adapter, such as moments, and returns what is done after each backward
     */
    public MemoryPlanner(CausalLm model, Function<Ops, Runnable> beside) {
        this.model = model;
        this.beside = beside;
    }

    /**
     * A model without numbers that stands for one before it is loaded: adapters can be made on it, and planners asked about it.
     *
     * @param ops the backend that the model would be loaded to; nothing is taken from it
     */
    public static CausalLm plannedModel(HfConfig config, LoadOptions options, Ops ops) throws IOException {
        LoadOptions fitting = options;
        Optional<BitsAndBytesConfig> stored = config.quantization();
        if (stored.isPresent() && !options.quantizeRest()) {      // the checkpoint decides what is in 4 bits
            FourBitFormat format = FourBitFormat.defaults().withType(stored.get().quantType()).withDoubleQuantization(stored.get().doubleQuantization());
            fitting = options.withQuantization(format).withSkipModules(stored.get().skipModules());
        }
        return ModelLoader.load(Families.read(config), new PlannedWeights(fitting, config.dtype().orElse(DType.F32)), fitting, ops.rehearsal());
    }

    /** What a micro-batch of {@code sequences} takes when all its tokens are labelled. */
    public MemoryPlan plan(Sequences sequences, ActivationBudget activations) {
        return plan(TokenBatch.of(new int[sequences.rows()], new int[sequences.rows()], sequences), activations);
    }

    public MemoryPlan plan(TokenBatch batch, ActivationBudget activations) {
        Rehearsal ops = model.ops().rehearsal();
        Runnable afterBackward = beside.apply(ops);
        long standing = ops.memory().bytesInUse();
        ops.resetPeak();
        int longest = batch.sequences().maxLength();
        Map<RopeSpec, RopeTable> ropes = new HashMap<>();
        for (RopeSpec rope : model.spec().attention().ropes()) {
            ropes.put(rope, RopeTables.sized(ops, rope, longest > model.ropePositions() ? RopeTables.rows(rope, longest) : 0));
        }
        try (Tensor lossSum = ops.zeros(DType.F64, 1)) {
            for (int i = 0; i < STEPS; i++) {
                new DecoderPass(model, ops, positions -> ropes).train(batch, 1, lossSum, DROPOUT, activations);
                afterBackward.run();
            }
        } finally {
            ropes.values().forEach(RopeTable::close);
        }
        return new MemoryPlan(batch.sequences(), activations, standing, ops.memory());
    }

    /**
     * The plan of the fastest policy that fits: all activations kept; else as many layers as fit keep all, and the others the result of attention or the
     * input alone, on the device or, where that is not enough, in the host's memory. Empty if none fits.
     */
    public Optional<MemoryPlan> fitting(TokenBatch batch) {
        MemoryPlan all = plan(batch, ActivationBudget.keepAll());
        if (all.fits()) {
            return Optional.of(all);
        }
        for (ActivationBudget.Place place : ActivationBudget.Place.values()) {
            for (ActivationBudget.Kept kept : List.of(ActivationBudget.Kept.ATTENTION, ActivationBudget.Kept.INPUT)) {
                MemoryPlan least = plan(batch, new ActivationBudget(0, kept, place));
                if (least.fits()) {
                    return Optional.of(most(least, all.takenBytes() - all.standingBytes(), bytes -> plan(batch, least.activations().withBytes(bytes))));
                }
            }
        }
        return Optional.empty();
    }

    /** The plan with the most bytes, up to {@code upTo}, that fits with some room: steps of other lengths leave other gaps. {@code least}, which has none, fits. */
    private static MemoryPlan most(MemoryPlan least, long upTo, LongFunction<MemoryPlan> plans) {
        MemoryPlan best = least;
        long low = 0, high = upTo;
        for (int i = 0; i < SEARCH_STEPS; i++) {
            MemoryPlan middle = plans.apply(low + (high - low) / 2);
            if (middle.takenBytes() <= middle.use().limitBytes() / ROOM * (ROOM - 1)) {
                best = middle;
                low += (high - low) / 2;
            } else {
                high = low + (high - low) / 2;
            }
        }
        return best;
    }

    /** The most sequences of {@code length} tokens that fit in one micro-batch; 0 if not even one does.
     * @param most that are asked for */
    public int largestBatch(int length, int most, ActivationBudget activations) {
        int low = 0, high = most + 1;
        while (high - low > 1) {
            int middle = low + (high - low) / 2, lengths[] = new int[middle];
            Arrays.fill(lengths, length);
            if (plan(Sequences.ofLengths(lengths), activations).fits()) {
                low = middle;
            } else {
                high = middle;
            }
        }
        return low;
    }

    /**
     * Refuses what does not fit.
     *
     * @param batch the largest micro-batch of a training
     * @return its plan
     * @throws IllegalArgumentException if it does not fit; the message has the figures, and what fits
     */
    public MemoryPlan require(TokenBatch batch, ActivationBudget activations) {
        MemoryPlan plan = plan(batch, activations);
        if (plan.fits()) {
            return plan;
        }
        String wanted = "memory: a micro-batch of " + plan + " with " + activations + ", more than the " + gigabytes(plan.use().limitBytes()) + " that may be taken; ";
        Optional<MemoryPlan> other = fitting(batch);
        if (other.isPresent()) {
            throw new IllegalArgumentException(wanted + other.get().activations() + " takes " + gigabytes(other.get().takenBytes()));
        }
        int longest = batch.sequences().maxLength();
        ActivationBudget least = new ActivationBudget(0, ActivationBudget.Kept.INPUT, ActivationBudget.Place.HOST);
        int count = largestBatch(longest, batch.sequences().count(), least);
        throw new IllegalArgumentException(wanted + (count > 0 ? "with " + least + " " + count + " of " + longest + " tokens fit"
                : "not even one sequence of " + longest + " tokens fits; shorter rows, a smaller model or a smaller adapter take less"));
    }

    private static String gigabytes(long bytes) {
        return String.format(java.util.Locale.ROOT, "%.2f GB", bytes / 1e9);
    }
}
