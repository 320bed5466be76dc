/**
 * The one seam: {@link jqlora.ops.Ops}, every operation of a decoder, forward and backward side by side. It has four faces: {@link jqlora.ops.Store} (tensors),
 * {@link jqlora.ops.LayerOps} (what a layer computes), {@link jqlora.ops.DecodingOps} and {@link jqlora.ops.UpdateOps}. What a layer computes is said as
 * {@linkplain jqlora.ops.Link links}; which of them a backend computes in one is its own business. Everything above runs on any implementation unchanged.
 *
 * <p>May import: tensor, quant. {@code ops.cpu} is the only place for the DJL engine and, with {@code quant}, for the Vector API.
 * <p>Read in this order: {@link jqlora.ops.Ops}, {@link jqlora.ops.LayerOps}, {@link jqlora.ops.Link}, {@link jqlora.ops.Input},
 * {@link jqlora.ops.LinearGroup}, {@link jqlora.ops.LinearWeights}, {@link jqlora.ops.Weight}, {@link jqlora.ops.LoraFactors}, {@link jqlora.ops.Heads}, {@link jqlora.ops.Norm}, {@link jqlora.ops.Sequences}, {@link jqlora.ops.AttentionShape}; for decoding {@link jqlora.ops.Sampler} and
 * {@link jqlora.ops.Repetition}; {@link jqlora.ops.Rehearsal}.
 *
 * <h2>Shapes</h2>
 * <ul>
 * <li>{@code rows}: all tokens of a batch, sequence after sequence; {@link jqlora.ops.Sequences} says where each begins
 * <li>{@code hidden}: size of the residual stream; {@code intermediate}: inner size of the MLP; {@code vocab}: vocabulary size
 * <li>{@code qHeads, kvHeads, headDim}: attention heads, key-value heads, size of one head
 * <li>{@code qkv}: (qHeads + 2 kvHeads) headDim columns: all queries, then all keys, then all values of a row
 * </ul>
 *
 * <h2>Words</h2>
 * <ul>
 * <li><em>group</em>: linear layers that read one input, so that it is read once: queries, keys and values; gate and up
 * <li><em>link</em>: an input and the group that reads it; <em>chain</em>: links of which each reads what the next one gives, as in an MLP
 * <li><em>inner</em>: {@code x A^T}, what the first factor of an adapter gives, [rows, rank]
 * <li><em>again</em>: what the forward did not keep is computed a second time in the backward (recomputation, gradient checkpointing)
 * <li><em>numbers</em>: a weight that is not quantized
 * <li><em>room</em> behind a row: padding columns of a matrix on the device, where the adapters of a product stand
 * <li><em>rehearsal</em>: a dry run, which counts the memory that operations would take; <em>account</em>: where it counts
 * <li><em>eights</em>: values in FP8, e4m3
 * </ul>
 * Activations and gradients have the backend's compute type ({@link jqlora.ops.Ops#computeType}): F32 on the CPU, BF16 on a GPU.
 * A gradient carries {@code d} before the name of what it is the gradient of.
 */
package jqlora.ops;
