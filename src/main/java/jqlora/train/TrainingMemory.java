package jqlora.train;

import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import jqlora.model.ActivationBudget;
import jqlora.model.MemoryPlan;
import jqlora.model.MemoryPlanner;
import jqlora.model.TokenBatch;
import jqlora.ops.Ops;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;

/** How a training fits into the backend's memory, before its first step. */
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

    /** What is kept for the backward, and whether the moments lie in the host's memory. */
    record Choice(ActivationBudget activations, boolean pagedMoments) { }

    /**
     * What was asked for, with the moments on the device if they fit there and are not to be paged. Where all activations were asked for and do not fit, as
     * many as fit, and the others are computed again: that changes no bit.
     *
     * @param candidates micro-batches of the training, of which one takes the most
     * @throws IllegalArgumentException if it does not fit in any way; the message has the figures
     */
    Choice choose(List<TokenBatch> candidates, ActivationBudget wanted) {
        if (weights.model().ops().memory().limitBytes() == Long.MAX_VALUE) {
            return new Choice(wanted, optimizer.optim().isPaged());
        }
        boolean[] places = optimizer.optim().isPaged() ? new boolean[] {true} : new boolean[] {false, true};
        TokenBatch largest = Collections.max(candidates, Comparator.comparingLong(batch -> planner(places[0]).plan(batch, wanted).takenBytes()));
        for (boolean paged : places) {
            if (planner(paged).plan(largest, wanted).fits()) {
                return new Choice(wanted, paged);
            }
        }
        if (wanted.equals(ActivationBudget.keepAll())) {
            for (boolean paged : places) {
                Optional<MemoryPlan> fitting = planner(paged).fitting(largest);
                if (fitting.isPresent()) {
                    return new Choice(fitting.get().activations(), paged);
                }
            }
        }
        planner(true).require(largest, wanted);
        throw new AssertionError("what does not fit is refused");
    }

    /** Plans for this training, its moments in the host's memory or not. */
    MemoryPlanner planner(boolean paged) {
        return new MemoryPlanner(weights.model(), ops -> {
            AdamW adamW = optimizer(ops, paged);
            return () -> {
                try (Tensor norm = ops.zeros(DType.F64, 1)) {
                    adamW.step(1, 0, norm);
                }
            };
        });
    }
}
