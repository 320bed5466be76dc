package jqlora.train;

import java.util.List;

/**
 * What a run has reported, from its very first step, over all the times that it was stopped.
 *
 * @param steps one a step
 * @param evaluations on the held-out rows; empty when there are none
 * @param interrupted whether steps are left
 */
public record TrainResult(List<TrainEvent.StepEnd> steps, List<TrainEvent.Evaluated> evaluations, boolean interrupted) {
    public TrainResult {
        steps = List.copyOf(steps);
        evaluations = List.copyOf(evaluations);
    }

    /** Seconds in steps. */
    public double seconds() {
        return steps.stream().mapToDouble(TrainEvent.StepEnd::seconds).sum();
    }

    /** Tokens through the model per second of all steps. */
    public double tokensPerSecond() {
        return steps.stream().mapToLong(TrainEvent.StepEnd::tokens).sum() / seconds();
    }

    /** Most memory in use, bytes. */
    public long peakBytes() {
        return steps.stream().mapToLong(TrainEvent.StepEnd::peakBytes).max().orElse(0);
    }

    /** Such as {@code 120 steps, loss 3.214 -> 1.022, 1530 tokens/s}. */
    @Override
    public String toString() {
        return steps.isEmpty() ? "0 steps" : String.format(java.util.Locale.ROOT, "%d steps, loss %.3f -> %.3f, %.0f tokens/s", steps.size(), steps.getFirst().loss(),
                steps.getLast().loss(), tokensPerSecond());
    }
}
