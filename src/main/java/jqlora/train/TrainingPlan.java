package jqlora.train;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import jqlora.lora.LoraAdapter;
import jqlora.model.ActivationBudget;
import jqlora.model.MemoryPlan;
import jqlora.model.MemoryPlanner;
import jqlora.ops.MemoryUse;
import jqlora.ops.Sequences;

/**
 * What a training will take, length by length, before anything is trained. The model may be one of {@link MemoryPlanner#plannedModel}, which has no weights.
 *
 * @param perLength for each length that was asked for
 */
public record TrainingPlan(List<Length> perLength) {
    /**
     * Plans for micro-batches of rows of one length.
     *
     * @param sequences rows of a micro-batch
     * @param tokens of a row
     * @param keepAll with all activations kept for the backward, which is the fastest
     * @param recompute with all layers computed again in the backward, which takes the least
     */
    public record Length(int sequences, int tokens, MemoryPlan keepAll, MemoryPlan recompute) {
        /** Which of the two fits into the backend's memory: {@code yes}, {@code recomputing}, or {@code no}. */
        public String fits() {
            return keepAll.fits() ? "yes" : recompute.fits() ? "recomputing" : "no";
        }
    }

    /** This where the backend sets no limit, but the machine has {@code bytes} of memory in all. */
    public TrainingPlan within(long bytes) {
        return new TrainingPlan(perLength.stream().map(each -> new Length(each.sequences, each.tokens, within(bytes, each.keepAll), within(bytes, each.recompute))).toList());
    }

    private static MemoryPlan within(long bytes, MemoryPlan plan) {
        MemoryUse use = plan.use();
        return new MemoryPlan(plan.sequences(), plan.activations(), plan.standingBytes(),
                new MemoryUse(use.bytesInUse(), use.peakBytes(), use.reservedBytes(), Math.min(bytes, use.limitBytes()), use.hostBytes()));
    }

    /** Bytes that the backend may take; {@link Long#MAX_VALUE} without a limit. */
    public long limitBytes() {
        return perLength.getFirst().keepAll().use().limitBytes();
    }

    /**
     * The plan of training {@code adapter}: weights, adapter, gradients, moments, and what a step needs.
     *
     * @param lengths tokens of a row, each at least 1
     * @throws IllegalArgumentException if no length is given, or one is below 1
     */
    public static TrainingPlan of(LoraAdapter adapter, SftConfig config, int... lengths) {
        if (lengths.length == 0 || Arrays.stream(lengths).anyMatch(length -> length < 1)) {
            throw new IllegalArgumentException("plan: lengths are " + Arrays.toString(lengths) + ", there must be one or more, each at least 1");
        }
        TrainedWeights weights = new TrainedWeights.OfAdapter(adapter, null);
        MemoryPlanner planner = new TrainingMemory(weights, config.optimizer()).planner(config.optimizer().optim().isPaged());
        List<Length> perLength = new ArrayList<>();
        for (int length : lengths) {
            int[] rows = new int[config.batches().perDeviceTrainBatchSize()];
            Arrays.fill(rows, length);
            Sequences sequences = Sequences.ofLengths(rows);
            perLength.add(new Length(rows.length, length, planner.plan(sequences, ActivationBudget.keepAll()), planner.plan(sequences, ActivationBudget.recomputeAll())));
        }
        return new TrainingPlan(List.copyOf(perLength));
    }
}
