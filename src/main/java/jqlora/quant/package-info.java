/**
 * Number formats of QLoRA, byte for byte as bitsandbytes' CUDA path writes them: NF4 and FP4 with blocks of 32 to 4096, double
 * quantization, the 8-bit dynamic map.
 *
 * <p>May import: tensor. Only place for codebooks.
 * <p>Read in this order: {@link jqlora.quant.FourBitType}, {@link jqlora.quant.FourBitFormat},
 * {@link jqlora.quant.QuantizedTensor}, {@link jqlora.quant.PlainFourBitCodec} (the readable one),
 * {@link jqlora.quant.VectorFourBitCodec} (the fast one), {@link jqlora.quant.DoubleQuantization}.
 */
package jqlora.quant;
