/**
 * The one seam: {@link jqlora.ops.Ops}, every operation of a decoder, forward and backward side by side, at the grain at which a GPU
 * wants them fused. Everything above runs on any implementation unchanged.
 *
 * <p>May import: tensor, quant. {@code ops.cpu} is the only place for the DJL engine and, with {@code quant}, for the Vector API.
 * <p>Read in this order: {@link jqlora.ops.Ops}, {@link jqlora.ops.LinearWeights}, {@link jqlora.ops.Weight},
 * {@link jqlora.ops.LoraFactors}, {@link jqlora.ops.Norm}, {@link jqlora.ops.Sequences}, {@link jqlora.ops.AttentionShape}; for decoding {@link jqlora.ops.Sampler} and
 * {@link jqlora.ops.Repetition}; {@link jqlora.ops.Rehearsal}.
 *
 * <h2>Shapes</h2>
 * <ul>
 * <li>{@code rows}: all tokens of a batch, sequence after sequence; {@link jqlora.ops.Sequences} says where each begins
 * <li>{@code hidden}: size of the residual stream; {@code intermediate}: inner size of the MLP; {@code vocab}: vocabulary size
 * <li>{@code qHeads, kvHeads, headDim}: attention heads, key-value heads, size of one head
 * <li>{@code qkv}: (qHeads + 2 kvHeads) headDim columns: all queries, then all keys, then all values of a row
 * </ul>
 * Activations and gradients have the backend's compute type ({@link jqlora.ops.Ops#computeType}): F32 on the CPU, BF16 on a GPU.
 * A gradient carries {@code d} before the name of what it is the gradient of.
 */
package jqlora.ops;
