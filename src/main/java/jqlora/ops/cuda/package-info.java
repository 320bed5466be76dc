/**
 * {@link jqlora.ops.Ops} on an NVIDIA GPU: bfloat16 activations, float32 adapters and gradients, through the driver API, NVRTC, cuBLASLt and
 * cuDNN's graph API of the JavaCPP presets. Products with frozen 4-bit weights may be in FP8 ({@code Fp8Linear}). Nothing here is touched where there is no GPU.
 *
 * <p>May import: tensor, quant, ops. The only place for JavaCPP. The kernels are in {@code src/main/resources/jqlora/ops/cuda}.
 * <p>Read in this order: {@link jqlora.ops.cuda.CudaOps}, {@code CudaLinear}, {@code Operands}, {@code CudaAttention}, {@code CudaDevice}.
 *
 * <p>One stream computes; a second one decodes the 4-bit weights of the next product meanwhile. A freed block of memory is used again at
 * once, since all that touches it is in the order of one stream; what the second stream writes is handed over by events.
 *
 * <p>Decoding: {@code CudaFewRows} reads the weights as they are stored, {@code CudaRepetition} makes a graph of a step that the host has no part in.
 */
package jqlora.ops.cuda;
