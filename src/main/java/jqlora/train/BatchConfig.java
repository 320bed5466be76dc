package jqlora.train;

import jqlora.data.BatchPlan;

/**
 * @param perDeviceTrainBatchSize rows of a micro-batch
 * @param gradientAccumulationSteps micro-batches of a step
 * @param order how rows are put in order
 * @param normalization what the loss of a step is divided by
 */
public record BatchConfig(int perDeviceTrainBatchSize, int gradientAccumulationSteps, BatchPlan.Order order, Normalization normalization) {
    /** What the loss of a step is divided by. */
    public enum Normalization {
        /** The labelled tokens of all its micro-batches: every token counts the same. */
        TOKENS,
        /** Each micro-batch by its own labelled tokens, then the mean of them, as qlora.py and transformers before 4.46. */
        LEGACY
    }

    public BatchConfig {
        if (perDeviceTrainBatchSize < 1 || gradientAccumulationSteps < 1) {
            throw new IllegalArgumentException("batches: perDeviceTrainBatchSize " + perDeviceTrainBatchSize + " and gradientAccumulationSteps "
                    + gradientAccumulationSteps + " must be at least 1");
        }
    }

    /** qlora.py:199-211: one row, 16 micro-batches a step, grouped by length; but normalised by tokens. */
    public static BatchConfig defaults() {
        return new BatchConfig(1, 16, BatchPlan.Order.GROUPED_BY_LENGTH, Normalization.TOKENS);
    }

    public BatchConfig withPerDeviceTrainBatchSize(int perDeviceTrainBatchSize) {
        return new BatchConfig(perDeviceTrainBatchSize, gradientAccumulationSteps, order, normalization);
    }

    public BatchConfig withGradientAccumulationSteps(int gradientAccumulationSteps) {
        return new BatchConfig(perDeviceTrainBatchSize, gradientAccumulationSteps, order, normalization);
    }

    public BatchConfig withOrder(BatchPlan.Order order) {
        return new BatchConfig(perDeviceTrainBatchSize, gradientAccumulationSteps, order, normalization);
    }

    public BatchConfig withNormalization(Normalization normalization) {
        return new BatchConfig(perDeviceTrainBatchSize, gradientAccumulationSteps, order, normalization);
    }

    BatchPlan plan(long seed) {
        return new BatchPlan(perDeviceTrainBatchSize, gradientAccumulationSteps, order, seed);
    }
}
