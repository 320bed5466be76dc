/**
 * One decoder for all families: forward and backward written once over {@link jqlora.ops.Ops}. A family is data: what its
 * {@code config.json} means as a {@link jqlora.model.DecoderSpec}, one file each in {@link jqlora.model.families}.
 *
 * <p>May import: tensor, quant, ops, format.
 * <p>Read in this order: {@link jqlora.model.DecoderSpec}, {@link jqlora.model.LayerSpec}, {@link jqlora.model.CausalLm}, {@link jqlora.model.DecoderLayer} (how branches
 * meet the residual stream), {@link jqlora.model.AttentionBranch} and {@link jqlora.model.MlpBranch} (forward and backward of each), {@link jqlora.model.Continuation}
 * (decoding), {@link jqlora.model.ModelLoader}, {@link jqlora.model.MemoryReport}, {@link jqlora.model.MemoryPlanner}.
 */
package jqlora.model;
