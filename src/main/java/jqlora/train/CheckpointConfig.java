package jqlora.train;

/**
 * When checkpoints are written and how many stay.
 *
 * @param saveSteps steps between checkpoints; 0 for none
 * @param saveTotalLimit checkpoints that stay, the newest; at least 1
 * @param evalSteps steps between evaluations on the held-out rows, beside the one before the first step and the one at the end, which are
 *        always made; 0 for none between them
 * @param overwrite whether a run begins again in an output folder that holds another run's checkpoints, which it then removes with their
 *        result; this run's own are gone on from. Without it such a folder is refused
 */
public record CheckpointConfig(int saveSteps, int saveTotalLimit, int evalSteps, boolean overwrite) {
    public CheckpointConfig {
        if (saveSteps < 0 || saveTotalLimit < 1 || evalSteps < 0) {
            throw new IllegalArgumentException("checkpoints: saveSteps " + saveSteps + ", saveTotalLimit " + saveTotalLimit + ", evalSteps " + evalSteps
                    + " must be at least 0, 1 and 0");
        }
    }

    /** Of a run that overwrites nothing. */
    public CheckpointConfig(int saveSteps, int saveTotalLimit, int evalSteps) {
        this(saveSteps, saveTotalLimit, evalSteps, false);
    }

    /** Every 250 steps as qlora.py:213, the newest two; evaluated before the first step and at the end. */
    public static CheckpointConfig defaults() {
        return new CheckpointConfig(250, 2, 0);
    }

    public CheckpointConfig withSaveSteps(int saveSteps) {
        return new CheckpointConfig(saveSteps, saveTotalLimit, evalSteps, overwrite);
    }

    public CheckpointConfig withEvalSteps(int evalSteps) {
        return new CheckpointConfig(saveSteps, saveTotalLimit, evalSteps, overwrite);
    }

    public CheckpointConfig withOverwrite(boolean overwrite) {
        return new CheckpointConfig(saveSteps, saveTotalLimit, evalSteps, overwrite);
    }
}
