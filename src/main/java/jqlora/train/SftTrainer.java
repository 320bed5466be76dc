package jqlora.train;

import java.io.IOException;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.ToLongFunction;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import jqlora.data.Batch;
import jqlora.data.TokenizedRow;
import jqlora.model.ActivationBudget;
import jqlora.model.CausalLm;
import jqlora.model.TokenBatch;
import jqlora.ops.Ops;
import jqlora.ops.Parameter;
import jqlora.ops.Weight;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;

/**
 * Supervised fine-tuning. A run is settled by weights, data, configuration and seed: two runs of the same give the same bits, and so does one that was killed at
 * any moment and started again with the same output folder.
 */
public final class SftTrainer {
    private final TrainedWeights weights;
    private final CausalLm model;
    private final Ops ops;
    private final List<TokenizedRow> rows;
    private final List<TokenizedRow> heldOut;
    private final SftConfig config;
    private final CheckpointFolder folder;
    private final List<TrainEvent.StepEnd> steps = new ArrayList<>();
    private final List<TrainEvent.Evaluated> evaluations = new ArrayList<>();
    private ActivationBudget activations;
    private int plannedEpoch = -1;
    private List<List<Integer>> plan = List.of();

    /**
     * @param rows to train on
     * @param heldOut to evaluate on; empty for no evaluation
     * @param output where checkpoints and the result go; null to write nothing. If it holds checkpoints of this run, the run goes on from the newest
     * @throws IllegalArgumentException if nothing is to be trained, or no row has a labelled token
     */
    public SftTrainer(TrainedWeights weights, List<TokenizedRow> rows, List<TokenizedRow> heldOut, SftConfig config, Path output) {
        this.weights = weights;
        this.model = weights.model();
        this.ops = model.ops();
        this.rows = rows.stream().filter(row -> row.labelledTokens() > 0).toList();
        this.heldOut = List.copyOf(heldOut);
        this.config = config;
        this.folder = output == null ? null : new CheckpointFolder(output);
        if (weights.parameters().isEmpty() || !weights.parameters().stream().allMatch(Parameter::isTrained)) {
            throw new IllegalArgumentException("training: the weights have no gradients; load the adapter as trained, or the model for full fine-tuning");
        }
        if (this.rows.isEmpty()) {
            throw new IllegalArgumentException("training: none of " + rows.size() + " rows has a labelled token, there must be at least one");
        }
    }

    /**
     * Trains to the last step, or until the thread is interrupted: then the step is finished, a checkpoint written, and what there is returned. The
     * thread's interrupt flag stays set; in the last step it changes nothing else.
     *
     * @throws IOException if a checkpoint cannot be written or read, or is of another run
     * @throws IllegalArgumentException before the first step, if the largest micro-batch does not fit into the backend's memory
     * @throws IllegalStateException if the model is closed, or lent to another thread
     * @throws TrainingException if the loss is no longer a finite number, or nothing is learned
     */
    public TrainResult train(TrainListener listener) throws IOException {
        model.use().require("training");
        InterruptShield shield = new InterruptShield();
        try {
            return train(listener, shield);
        } finally {
            shield.giveBack();
        }
    }

    private TrainResult train(TrainListener listener, InterruptShield shield) throws IOException {
        long started = System.nanoTime();
        steps.clear();
        evaluations.clear();
        int totalSteps = config.totalSteps(rows.size());
        Map<String, String> run = run(totalSteps);
        boolean interrupted = false;
        int step = 0;
        TrainingMemory memory = new TrainingMemory(weights, config.optimizer());
        TrainingMemory.Choice choice = memory.choose(largestBatches(totalSteps), config.activations());
        activations = choice.activations();
        try (AdamW optimizer = memory.optimizer(ops, choice.pagedMoments())) {
            step = shield.finish(() -> resume(optimizer, run));
            listener.on(new TrainEvent.Started(totalSteps, step + 1, parameterCount(), rows.size(), rows.stream().mapToLong(TokenizedRow::labelledTokens).sum()));
            if (step == 0) {
                evaluate(0, listener);
            }
            ops.resetPeak();
            while (step < totalSteps && !interrupted) {
                step++;
                TrainEvent.StepEnd end = step(step, totalSteps, optimizer);
                steps.add(end);
                listener.on(end);
                boolean last = step == totalSteps, due = config.checkpoints().evalSteps() > 0 && step % config.checkpoints().evalSteps() == 0;
                if (last || due) {
                    evaluate(step, listener);
                }
                interrupted = shield.interrupted() && !last;
                boolean saveDue = config.checkpoints().saveSteps() > 0 && step % config.checkpoints().saveSteps() == 0;
                if (folder != null && (saveDue || interrupted || last)) {
                    int done = step;
                    listener.on(new TrainEvent.Saved(done, shield.finish(() -> save(done, optimizer, run))));
                }
            }
        }
        if (folder != null && !interrupted) {
            shield.finish(this::saveResult);
        }
        listener.on(new TrainEvent.Ended(step, interrupted, (System.nanoTime() - started) / 1e9));
        return new TrainResult(steps, evaluations, interrupted);
    }

    private long parameterCount() {
        return weights.parameters().stream().mapToLong(parameter -> parameter.value().shape().size()).sum();
    }

    // ---- one step

    private TrainEvent.StepEnd step(int step, int totalSteps, AdamW optimizer) throws TrainingException {
        long began = System.nanoTime();
        int stepsPerEpoch = config.stepsPerEpoch(rows.size());
        List<TokenBatch> window = window((step - 1) / stepsPerEpoch, (step - 1) % stepsPerEpoch);
        long labelled = window.stream().mapToLong(TokenBatch::labelledTokens).sum(), tokens = window.stream().mapToLong(TokenBatch::rows).sum();
        double learningRate = config.learningRate().at(step, totalSteps), loss = 0;
        boolean legacy = config.batches().normalization() == BatchConfig.Normalization.LEGACY;
        try (Tensor sums = ops.zeros(DType.F64, 1); Tensor norm = ops.zeros(DType.F64, 1)) {
            double before = 0;
            for (int i = 0; i < window.size(); i++) {
                TokenBatch batch = window.get(i);
                double scale = legacy ? 1.0 / ((long) batch.labelledTokens() * window.size()) : 1.0 / labelled;
                model.forwardBackward(batch, scale, sums, dropoutKey(step, i), activations);
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
            return new TrainEvent.StepEnd(step, (double) step / stepsPerEpoch, loss, gradNorm, learningRate, tokens, seconds, ops.memory().peakBytes());
        }
    }

    private double value(Tensor scalar) {
        return ops.download(scalar).data().get(TensorView.DOUBLE, 0);
    }

    private List<List<Integer>> epoch(int epoch) {
        return config.batches().plan(config.seed()).epoch(epoch, rows.stream().mapToInt(TokenizedRow::length).toArray());
    }

    /** The micro-batches of the run with the most tokens, and with the most when all rows are as long as their longest one. */
    private List<TokenBatch> largestBatches(int totalSteps) {
        List<List<Integer>> batches = IntStream.range(0, Math.ceilDiv(totalSteps, config.stepsPerEpoch(rows.size()))).boxed().flatMap(epoch -> epoch(epoch).stream()).toList();
        ToLongFunction<List<Integer>> tokens = batch -> batch.stream().mapToLong(row -> rows.get(row).length()).sum();
        ToLongFunction<List<Integer>> padded = batch -> (long) batch.size() * batch.stream().mapToInt(row -> rows.get(row).length()).max().orElse(0);
        return Stream.of(tokens, padded).map(size -> Collections.max(batches, Comparator.comparingLong(size))).distinct().map(this::tokenBatch).toList();
    }

    private TokenBatch tokenBatch(List<Integer> batch) {
        return HeldOutLoss.tokenBatch(Batch.of(batch.stream().map(rows::get).toList()));
    }

    private List<TokenBatch> window(int epoch, int index) {
        if (epoch != plannedEpoch) {
            plan = epoch(epoch);
            plannedEpoch = epoch;
        }
        int from = index * config.batches().gradientAccumulationSteps(), to = Math.min(plan.size(), from + config.batches().gradientAccumulationSteps());
        return plan.subList(from, to).stream().map(this::tokenBatch).toList();
    }

    /** A key of its own for each micro-batch of the run; never 0, which means no dropout. */
    private long dropoutKey(int step, int microBatch) {
        long mixed = config.seed() * 0x9E3779B97F4A7C15L + step * 0xBF58476D1CE4E5B9L + microBatch * 0x94D049BB133111EBL;
        mixed = (mixed ^ mixed >>> 31) * 0xD6E8FEB86659FD93L;
        return (mixed ^ mixed >>> 32) | 1;
    }

    private void requireLearning(int step, double loss, double gradNorm) throws TrainingException {
        if (!Double.isFinite(loss) || !Double.isFinite(gradNorm)) {
            String where = weights.parameters().stream().filter(parameter -> !isFinite(parameter)).map(Parameter::name).findFirst().map(name -> "; the first gradient that is not finite is that of " + name).orElse("");
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

    private void evaluate(int step, TrainListener listener) {
        if (!heldOut.isEmpty()) {
            TrainEvent.Evaluated evaluated = new TrainEvent.Evaluated(step, HeldOutLoss.of(model, heldOut).loss());
            evaluations.add(evaluated);
            listener.on(evaluated);
        }
    }

    // ---- checkpoints

    private Path save(int step, AdamW optimizer, Map<String, String> run) throws IOException {
        return folder.write(step, config.checkpoints().saveTotalLimit(), target -> {
            weights.save(target);
            optimizer.save(target.resolve("optimizer.safetensors"));
            new TrainerState(step, run, steps, evaluations).write(target);
        });
    }

    private Path saveResult() throws IOException {
        weights.save(folder.output());
        return folder.output();
    }

    private int resume(AdamW optimizer, Map<String, String> run) throws IOException {
        if (folder == null) {
            return 0;
        }
        folder.removePartial();
        Optional<Path> latest = folder.latest();
        if (latest.isEmpty()) {
            return 0;
        }
        TrainerState state = TrainerState.read(latest.get());
        state.requireSameRun(latest.get(), run);
        weights.restore(latest.get());
        optimizer.restore(latest.get().resolve("optimizer.safetensors"));
        steps.addAll(state.steps());
        evaluations.addAll(state.evaluations());
        folder.removeOldest(config.checkpoints().saveTotalLimit());
        return state.step();
    }

    /** What tells this run from another. How activations are kept, where moments lie and when
     * checkpoints are written does not: it changes no bit. */
    private Map<String, String> run(int totalSteps) {
        Map<String, String> run = new LinkedHashMap<>();
        run.put("max_steps", Integer.toString(totalSteps));
        run.put("batches", config.batches().toString());
        run.put("learning_rate", config.learningRate().toString());
        run.put("optimizer", config.optimizer().withOptim(config.optimizer().optim().unpaged()).toString());
        run.put("seed", Long.toString(config.seed()));
        run.put("model", model.spec() + storage());
        run.put("trained", weights.description());
        run.put("arithmetic", ops.arithmetic());
        run.put("rows", dataHash());
        return run;
    }

    /** How the linear layers are stored: an adapter on NF4 learns other numbers than one on FP4. */
    private String storage() {
        List<String> storages = model.linears().values().stream().map(linear -> switch (linear.weight()) {
            case Weight.FourBit fourBit -> fourBit.format() + ", decoded to " + fourBit.format().dtype();
            case Weight.Dense(Parameter parameter) -> parameter.value().dtype().name();
        }).distinct().toList();
        return storages.equals(List.of("F32")) ? "" : " in " + String.join(" and ", storages);
    }

    private String dataHash() {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            for (TokenizedRow row : rows) {
                digest.update((row.labelledFrom() + ":" + java.util.Arrays.toString(row.ids())).getBytes(java.nio.charset.StandardCharsets.US_ASCII));
            }
            return rows.size() + " rows, sha256 " + HexFormat.of().formatHex(digest.digest(), 0, 8);
        } catch (NoSuchAlgorithmException absent) {
            throw new AssertionError("every Java has SHA-256", absent);
        }
    }
}
