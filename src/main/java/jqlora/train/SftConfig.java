package jqlora.train;

import jqlora.model.ActivationBudget;

/**
 * How a model is fine-tuned. Names are those of transformers' TrainingArguments.
 *
 * @param numTrainEpochs passes over the data; used when maxSteps is 0
 * @param maxSteps optimizer steps; 0 for as many as the epochs have
 * @param activations what the forward may keep for the backward; all means as much as fits into the backend's memory
 * @param seed of the order of rows and of dropout
 */
public record SftConfig(double numTrainEpochs, int maxSteps, BatchConfig batches, LearningRate learningRate, OptimizerConfig optimizer,
        CheckpointConfig checkpoints, ActivationBudget activations, long seed) {
    public SftConfig {
        if (maxSteps < 0 || maxSteps == 0 && !(numTrainEpochs > 0)) {
            throw new IllegalArgumentException("sft: maxSteps is " + maxSteps + " and numTrainEpochs is " + numTrainEpochs + ", one of them must be positive");
        }
    }

    /** qlora.py:198-214 (learning rate 2e-4, constant, 16 rows a step), for one epoch. */
    public static SftConfig defaults() {
        return new SftConfig(1, 0, BatchConfig.defaults(), LearningRate.constant(2e-4), OptimizerConfig.defaults(), CheckpointConfig.defaults(),
                ActivationBudget.keepAll(), 42);
    }

    public SftConfig withNumTrainEpochs(double numTrainEpochs) {
        return new SftConfig(numTrainEpochs, 0, batches, learningRate, optimizer, checkpoints, activations, seed);
    }

    public SftConfig withMaxSteps(int maxSteps) {
        return new SftConfig(numTrainEpochs, maxSteps, batches, learningRate, optimizer, checkpoints, activations, seed);
    }

    public SftConfig withBatches(BatchConfig batches) {
        return new SftConfig(numTrainEpochs, maxSteps, batches, learningRate, optimizer, checkpoints, activations, seed);
    }

    /** So many rows a step, in one micro-batch. */
    public SftConfig withBatchSize(int rows) {
        return withBatches(batches.withPerDeviceTrainBatchSize(rows).withGradientAccumulationSteps(1));
    }

    public SftConfig withLearningRate(LearningRate learningRate) {
        return new SftConfig(numTrainEpochs, maxSteps, batches, learningRate, optimizer, checkpoints, activations, seed);
    }

    /** The same shape of curve with another peak. */
    public SftConfig withLearningRate(double peak) {
        return withLearningRate(new LearningRate(learningRate.type(), peak, learningRate.warmupSteps()));
    }

    public SftConfig withOptimizer(OptimizerConfig optimizer) {
        return new SftConfig(numTrainEpochs, maxSteps, batches, learningRate, optimizer, checkpoints, activations, seed);
    }

    public SftConfig withCheckpoints(CheckpointConfig checkpoints) {
        return new SftConfig(numTrainEpochs, maxSteps, batches, learningRate, optimizer, checkpoints, activations, seed);
    }

    /** Whether another run's checkpoints in the output folder are removed, and not refused. */
    public SftConfig withOverwrite(boolean overwrite) {
        return withCheckpoints(checkpoints.withOverwrite(overwrite));
    }

    public SftConfig withActivations(ActivationBudget activations) {
        return new SftConfig(numTrainEpochs, maxSteps, batches, learningRate, optimizer, checkpoints, activations, seed);
    }

    public SftConfig withSeed(long seed) {
        return new SftConfig(numTrainEpochs, maxSteps, batches, learningRate, optimizer, checkpoints, activations, seed);
    }

    /** Steps of an epoch over {@code rows} rows; the last may have fewer micro-batches. */
    int stepsPerEpoch(int rows) {
        return Math.ceilDiv(batches.plan(seed).batches(rows), batches.gradientAccumulationSteps());
    }

    /** Steps of the whole run over {@code rows} rows. */
    public int totalSteps(int rows) {
        return maxSteps > 0 ? maxSteps : (int) Math.ceil(numTrainEpochs * stepsPerEpoch(rows));
    }
}
