package jqlora.train;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import jqlora.format.JsonFileException;

/**
 * The checkpoints of one run: written, gone on from, and those of another run refused or removed.
 *
 * @param folder null to write nothing
 */
record RunCheckpoints(CheckpointFolder folder, TrainedWeights weights, CheckpointConfig config) {
    private static final String OPTIMIZER = "optimizer.safetensors";

    /** Where a run stands before its next step.
     * @param identity of the run, as its checkpoints have it */
    record Position(RunIdentity identity, int step, List<TrainEvent.StepEnd> steps, List<TrainEvent.Evaluated> evaluations) {
        static Position start(RunIdentity identity) {
            return new Position(identity, 0, List.of(), List.of());
        }
    }

    /**
     * Puts weights and moments to where the newest checkpoint has them.
     *
     * @throws JsonFileException if it is of another run, and that is not to be overwritten
     */
    Position resume(AdamW optimizer, RunIdentity identity) throws IOException {
        if (folder == null) {
            return Position.start(identity);
        }
        folder.removePartial();
        Optional<Path> latest = folder.latest();
        if (latest.isEmpty()) {
            return Position.start(identity);
        }
        TrainerState state;
        RunIdentity same;
        try {
            state = TrainerState.read(latest.get());
            same = identity.requireSame(latest.get(), state);
        } catch (JsonFileException another) {
            if (!config.overwrite()) {
                throw another;
            }
            folder.removeRun(weights.resultFiles());
            return Position.start(identity);
        }
        weights.restore(latest.get());
        optimizer.restore(latest.get().resolve(OPTIMIZER));
        folder.removeOldest(config.saveTotalLimit());
        return new Position(same, state.step(), state.steps(), state.evaluations());
    }

    Path save(Position done, AdamW optimizer) throws IOException {
        return folder.write(done.step, config.saveTotalLimit(), target -> {
            weights.save(target);
            optimizer.save(target.resolve(OPTIMIZER));
            new TrainerState(done.step, done.identity.values(), weights.fingerprint(), done.steps, done.evaluations).write(target);
        });
    }

    /** Writes the result beside the checkpoints. */
    Path saveResult() throws IOException {
        weights.save(folder.output());
        return folder.output();
    }

    /**
     * After a failure: the weights of the newest checkpoint, from which the same run goes on; what fails here is told with {@code failure}.
     */
    void rollBack(Throwable failure) {
        try {
            Optional<Path> latest = folder == null ? Optional.empty() : folder.latest();
            if (latest.isPresent()) {
                weights.restore(latest.get());
            }
        } catch (IOException | RuntimeException unreadable) {
            failure.addSuppressed(unreadable);
        }
    }
}
