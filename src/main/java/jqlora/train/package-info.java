/**
 * Supervised fine-tuning: configuration, learning-rate schedule, optimizer, the loop, held-out loss, checkpoints that a killed run goes on from.
 *
 * <p>May import: tensor, ops, format, model, lora, data.
 * <p>Read in this order: {@link jqlora.train.SftConfig}, {@link jqlora.train.SftTrainer}, {@code RunIdentity}, {@code MicroBatches}, {@link
 * jqlora.train.TrainEvent}, {@link jqlora.train.TrainedWeights}, {@link jqlora.train.LearningRate}, {@link jqlora.train.CheckpointFolder}.
 */
package jqlora.train;
