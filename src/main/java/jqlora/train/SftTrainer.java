package jqlora.train;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import jqlora.data.TokenizedRow;
import jqlora.model.ActivationBudget;
import jqlora.model.CausalLm;
import jqlora.model.TokenBatch;
import jqlora.ops.Ops;
import jqlora.ops.Parameter;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;

/**
 * Supervised fine-tuning. A run is settled by weights, data, configuration and seed ({@link RunIdentity} has all of it): two runs of the
 * same give the same bits, and so does one that was killed at any moment and started again with the same output folder.
 */
public final class SftTrainer {
    private final TrainedWeights weights;
    private final CausalLm model;
    private final Ops ops;
    private final List<TokenizedRow> rows;
    private final List<TokenizedRow> heldOut;
    private final List<String> notices = new ArrayList<>();
    private final SftConfig config;
    private final MicroBatches batches;
    private final RunCheckpoints checkpoints;
    private final List<TrainEvent.StepEnd> steps = new ArrayList<>();
    private final List<TrainEvent.Evaluated> evaluations = new ArrayList<>();
    private ActivationBudget activations;

    /**
     * @param rows to train on
     * @param heldOut to evaluate on; empty for no evaluation
     * @param output where checkpoints and the result go; null to write nothing. If it holds checkpoints of this run, the run goes on from the newest
     * @throws IllegalArgumentException if nothing is to be trained, no row has a labelled token, held-out rows are given of which none has
     *        one, or a token of a row is not in the model's embedding
     */
    public SftTrainer(TrainedWeights weights, List<TokenizedRow> rows, List<TokenizedRow> heldOut, SftConfig config, Path output) {
        this.weights = weights;
        this.model = weights.model();
        this.ops = model.ops();
        this.rows = rows.stream().filter(row -> row.labelledTokens() > 0).toList();
        this.heldOut = List.copyOf(heldOut);
        this.config = config;
        this.batches = new MicroBatches(this.rows, config);
        this.checkpoints = new RunCheckpoints(output == null ? null : new CheckpointFolder(output), weights, config.checkpoints());
        if (weights.parameters().isEmpty() || !weights.parameters().stream().allMatch(Parameter::isTrained)) {
            throw new IllegalArgumentException("training: the weights have no gradients; load the adapter as trained, or the model for full fine-tuning");
        }
        if (this.rows.isEmpty()) {
            throw new IllegalArgumentException("training: none of " + rows.size() + " rows has a labelled token, there must be at least"
                    + " one; are the answers empty, or cut by the limits?");
        }
        if (!heldOut.isEmpty() && heldOut.stream().allMatch(row -> row.labelledTokens() == 0)) {
            throw new IllegalArgumentException("training: none of " + heldOut.size() + " held-out rows has a labelled token, there must"
                    + " be at least one; give no held-out rows for no evaluation");
        }
        RowCheck.requireTokens(model, "training rows", rows);
        RowCheck.requireTokens(model, "held-out rows", heldOut);
        notices.addAll(RowCheck.notices(model, "training rows", rows));
        notices.addAll(RowCheck.notices(model, "held-out rows", heldOut));
    }

    /**
     * Trains to the last step, or until the thread is interrupted: then the step is finished, a checkpoint written, and what there is returned; an
     * evaluation ends without a result, and is made when the run goes on. The thread's interrupt flag stays set; after the last evaluation it
     * changes nothing else. When it fails, the weights are put back to those of the newest checkpoint.
     *
     * @throws IOException before the first step, if the output folder cannot be written or holds what the result would hide; or if a checkpoint
     *         cannot be written or read, or is of another run
     * @throws IllegalArgumentException before the first step, if the largest micro-batch does not fit into the backend's memory
     * @throws IllegalStateException if the model is closed, or lent to another thread
     * @throws TrainingException if the loss is no longer a finite number, or nothing is learned
     */
    public TrainResult train(TrainListener listener) throws IOException {
        model.use().require("training");
        weights.requireInForce();
        if (checkpoints.folder() != null) {
            weights.requireOutput(checkpoints.folder().output());
        }
        InterruptShield shield = new InterruptShield();
        try {
            return train(listener, shield);
        } finally {
            shield.giveBack();
        }
    }

    private TrainResult train(TrainListener listener, InterruptShield shield) throws IOException {
        long started = System.nanoTime();
        int totalSteps = config.totalSteps(rows.size());
        TrainingMemory memory = new TrainingMemory(weights, config.optimizer());
        TrainingMemory.Choice choice = memory.choose(batches.largest(totalSteps), config.activations());
        activations = choice.activations();
        RunIdentity identity = RunIdentity.of(weights, rows, heldOut, config);
        boolean interrupted;
        try (AdamW optimizer = memory.optimizer(ops, choice.pagedMoments())) {
            RunCheckpoints.Position from = shield.finish(() -> checkpoints.resume(optimizer, identity));
            steps.clear();
            steps.addAll(from.steps());
            evaluations.clear();
            evaluations.addAll(from.evaluations());
            notices.forEach(notice -> listener.on(new TrainEvent.Noticed(notice)));
            listener.on(new TrainEvent.Started(totalSteps, from.step() + 1, parameterCount(), rows.size(),
                    rows.stream().mapToLong(TokenizedRow::labelledTokens).sum()));
            try {
                interrupted = run(from, totalSteps, optimizer, listener, shield);
            } catch (IOException | RuntimeException | Error failed) {
                checkpoints.rollBack(failed);
                throw failed;
            }
        }
        if (checkpoints.folder() != null && !interrupted) {
            shield.finish(checkpoints::saveResult);
        }
        listener.on(new TrainEvent.Ended(steps.size(), interrupted, (System.nanoTime() - started) / 1e9));
        return new TrainResult(steps, evaluations, interrupted);
    }

    /** All steps that are left; true if the thread was interrupted before the last. */
    private boolean run(RunCheckpoints.Position from, int totalSteps, AdamW optimizer, TrainListener listener, InterruptShield shield)
            throws IOException {
        if (!evaluate(from.step(), totalSteps, listener, shield)) {
            return true;                                          // its checkpoint is there; at the start there is nothing to save
        }
        if (from.step() == totalSteps && evaluations.size() > from.evaluations().size()) {
            save(new RunCheckpoints.Position(from.identity(), totalSteps, steps, evaluations), optimizer, listener, shield);
        }
        ops.resetPeak();
        boolean interrupted = false;
        for (int step = from.step() + 1; step <= totalSteps && !interrupted; step++) {
            TrainEvent.StepEnd end = step(step, totalSteps, optimizer);
            steps.add(end);
            listener.on(end);
            boolean last = step == totalSteps, evaluated = evaluate(step, totalSteps, listener, shield);
            interrupted = !evaluated || shield.interrupted() && !last;
            boolean saveDue = config.checkpoints().saveSteps() > 0 && step % config.checkpoints().saveSteps() == 0;
            if (saveDue || interrupted || last) {
                save(new RunCheckpoints.Position(from.identity(), step, steps, evaluations), optimizer, listener, shield);
            }
        }
        return interrupted;
    }

    private void save(RunCheckpoints.Position done, AdamW optimizer, TrainListener listener, InterruptShield shield) throws IOException {
        if (checkpoints.folder() != null) {
            listener.on(new TrainEvent.Saved(done.step(), shield.finish(() -> checkpoints.save(done, optimizer))));
        }
    }

    private long parameterCount() {
        return weights.parameters().stream().mapToLong(parameter -> parameter.value().shape().size()).sum();
    }

    // ---- one step

    private TrainEvent.StepEnd step(int step, int totalSteps, AdamW optimizer) throws TrainingException {
        long began = System.nanoTime();
        List<TokenBatch> window = batches.of(step);
        long labelled = window.stream().mapToLong(TokenBatch::labelledTokens).sum(), tokens = window.stream().mapToLong(TokenBatch::rows).sum();
        double learningRate = config.learningRate().at(step, totalSteps), loss = 0;
        boolean legacy = config.batches().normalization() == BatchConfig.Normalization.LEGACY;
        try (Tensor sums = ops.zeros(DType.F64, 1); Tensor norm = ops.zeros(DType.F64, 1)) {
            double before = 0;
            for (int i = 0; i < window.size(); i++) {
                TokenBatch batch = window.get(i);
                double scale = legacy ? 1.0 / ((long) batch.labelledTokens() * window.size()) : 1.0 / labelled;
                model.forwardBackward(batch, scale, sums, batches.dropoutKey(step, i), activations);
                if (legacy) {
                    double sum = value(sums);
                    loss += (sum - before) * scale;
                    before = sum;
                }
            }
            ops.gradientNorm(weights.parameters(), norm);
            double gradNorm = value(norm);
            loss = legacy ? loss : value(sums) / labelled;
            requireLearning(step, loss, gradNorm);
            optimizer.step(step, learningRate, norm);
            double seconds = (System.nanoTime() - began) / 1e9;
            return new TrainEvent.StepEnd(step, (double) step / batches.stepsPerEpoch(), loss, gradNorm, learningRate, tokens, seconds,
                    ops.memory().peakBytes());
        }
    }

    private double value(Tensor scalar) {
        return ops.download(scalar).data().get(TensorView.DOUBLE, 0);
    }

    private void requireLearning(int step, double loss, double gradNorm) throws TrainingException {
        if (!Double.isFinite(loss) || !Double.isFinite(gradNorm)) {
            String where = weights.parameters().stream().filter(parameter -> !isFinite(parameter)).map(Parameter::name).findFirst()
                    .map(name -> "; the first gradient that is not finite is that of " + name).orElse("");
            throw new TrainingException("step " + step + ": the loss is " + loss + " and the gradient norm " + gradNorm + ", they must be finite" + where
                    + "; a lower learning rate or maxGradNorm may help; the newest checkpoint is as it was");
        }
        if (step == 1 && gradNorm == 0) {
            throw new TrainingException("step 1: every gradient is zero, so nothing would be learned; are the labelled tokens and the adapter what they should be?");
        }
    }

    private boolean isFinite(Parameter parameter) {
        for (float value : ops.download(parameter.gradient()).toFloats()) {
            if (!Float.isFinite(value)) {
                return false;
            }
        }
        return true;
    }

    /** Evaluates if that is due after {@code step} and was not done; false if an interrupt ended it. */
    private boolean evaluate(int step, int totalSteps, TrainListener listener, InterruptShield shield) {
        int every = config.checkpoints().evalSteps();
        boolean due = step == 0 || step == totalSteps || every > 0 && step % every == 0;
        if (!due || heldOut.isEmpty() || evaluations.stream().anyMatch(done -> done.step() == step)) {
            return true;
        }
        Optional<HeldOutLoss> loss = HeldOutLoss.unless(shield::interrupted, model, heldOut);
        loss.ifPresent(found -> {
            TrainEvent.Evaluated evaluated = new TrainEvent.Evaluated(step, found.loss());
            evaluations.add(evaluated);
            listener.on(evaluated);
        });
        return loss.isPresent();
    }
}
