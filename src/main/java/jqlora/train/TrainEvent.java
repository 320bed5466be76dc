package jqlora.train;

import java.nio.file.Path;

/** What happens in a run, in the order in which it happens. */
public sealed interface TrainEvent {
    /** Before the first step: something of the data that is not trained on, or may not be as it was meant. */
    record Noticed(String notice) implements TrainEvent { }

    /**
     * Before the first step.
     *
     * @param totalSteps of the whole run
     * @param firstStep the next step: 1, or the one after the checkpoint that the run goes on from
     * @param trainedParameters numbers that are trained
     * @param rows of the training set
     * @param labelledTokens of one epoch
     */
    record Started(int totalSteps, int firstStep, long trainedParameters, int rows, long labelledTokens) implements TrainEvent { }

    /**
     * After a step.
     *
     * @param step from 1
     * @param loss mean -log p of the step's labelled tokens (or the mean of micro-batch means)
     * @param gradNorm of all gradients before clipping
     * @param learningRate that the step used
     * @param tokens that went through the model
     * @param seconds that the step took
     * @param peakBytes most memory in use so far
     */
    record StepEnd(int step, double epoch, double loss, double gradNorm, double learningRate, long tokens, double seconds, long peakBytes) implements TrainEvent {
        public double tokensPerSecond() {
            return tokens / seconds;
        }
    }

    /** After an evaluation on the held-out rows.
     * @param step after which; 0 for before the first
     * @param loss mean -log p of their labelled tokens */
    record Evaluated(int step, double loss) implements TrainEvent { }

    /** After a checkpoint is on the disk. */
    record Saved(int step, Path folder) implements TrainEvent { }

    /** After the last step, or when the run was interrupted.
     * @param interrupted whether steps are left; a run with the same folder goes on there */
    record Ended(int step, boolean interrupted, double seconds) implements TrainEvent { }
}
