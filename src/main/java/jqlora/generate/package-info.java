/**
 * Decoding: token by token through a key-value cache, greedy or sampled.
 *
 * <p>May import: all rooms above it.
 * <p>Read in this order: {@link jqlora.generate.GenerationConfig}, {@link jqlora.ops.Sampler}, {@link jqlora.generate.Generator},
 * {@link jqlora.generate.Assistant}.
 */
package jqlora.generate;
