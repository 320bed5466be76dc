/**
 * One decoder for all families: forward and backward written once over {@link jqlora.ops.Ops}. A family is data: what its
 * {@code config.json} means as a {@link jqlora.model.DecoderSpec}.
 *
 * <p>May import: tensor, quant, ops, format.
 * <p>Read in this order: {@link jqlora.model.DecoderSpec}, {@link jqlora.model.Families}, {@link jqlora.model.CausalLm},
 * {@link jqlora.model.LayerPass} (the forward and backward of one layer), {@link jqlora.model.Continuation}
 * (decoding), {@link jqlora.model.ModelLoader}, {@link jqlora.model.MemoryReport}.
 */
package jqlora.model;
