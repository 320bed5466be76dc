/**
 * {@link jqlora.ops.Ops} on the processor, in float32.
 *
 * <p>May import: tensor, quant, ops. Only place for the Vector API (with quant) and for DJL's PyTorch engine. Matrix products run on the
 * Vector API ({@link jqlora.ops.cpu.VectorProduct}); where its module is missing they run on PyTorch
 * ({@link jqlora.ops.cpu.TorchProduct}).
 * <p>Read in this order: {@link jqlora.ops.cpu.CpuOps}, {@link jqlora.ops.cpu.MatrixSource}, {@link jqlora.ops.cpu.Product},
 * {@link jqlora.ops.cpu.VectorProduct}, {@link jqlora.ops.cpu.NarrowProduct}, {@link jqlora.ops.cpu.CpuLinear}, {@link jqlora.ops.cpu.CpuAttention}.
 */
package jqlora.ops.cpu;
