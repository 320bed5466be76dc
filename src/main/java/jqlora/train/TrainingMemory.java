package jqlora.train;

import java.util.function.Function;
import jqlora.model.ActivationBudget;
import jqlora.model.MemoryPlanner;
import jqlora.model.TokenBatch;
import jqlora.ops.Ops;

/** Whether a training fits into the backend's memory, before its first step. */
final class TrainingMemory {
    private final TrainedWeights weights;
    private final OptimizerConfig optimizer;

    TrainingMemory(TrainedWeights weights, OptimizerConfig optimizer) {
        this.weights = weights;
        this.optimizer = optimizer;
    }

    /** The optimizer of the training, on a backend or on a rehearsal of it. */
    AdamW optimizer(Ops ops, boolean paged) {
        return paged ? AdamW.paged(ops, weights.parameters(), optimizer) : new AdamW(ops, weights.parameters(), optimizer);
    }

    private Function<Ops, Runnable> moments(boolean paged) {
        return ops -> {
            AdamW adamW = optimizer(ops, paged);
            return () -> adamW.step(1, 0, null);
        };
    }

    /**
     * Whether the moments must lie in the host's memory, because the training does not fit otherwise.
     *
     * @param largest micro-batch of the training
     * @throws IllegalArgumentException if it does not fit either way; the message has the figures, and what fits
     */
    boolean pagesMoments(TokenBatch largest, ActivationBudget activations) {
        Ops ops = weights.model().ops();
        if (ops.memory().limitBytes() == Long.MAX_VALUE || new MemoryPlanner(weights.model(), moments(false)).plan(largest, activations).fits()) {
            return false;
        }
        new MemoryPlanner(weights.model(), moments(true)).require(largest, activations);
        return true;
    }
}
