/**
 * What a model is worth: held-out loss with and without an adapter, and after each way of merging it.
 *
 * <p>May import: all rooms above it.
 * <p>Read in this order: {@link jqlora.evaluate.MergeReport}, {@link jqlora.evaluate.AnswerComparison}.
 */
package jqlora.evaluate;
