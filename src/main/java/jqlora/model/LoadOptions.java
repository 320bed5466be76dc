package jqlora.model;

import java.util.List;
import jqlora.quant.FourBitFormat;
import jqlora.tensor.DType;

/**
 * How a checkpoint is loaded.
 *
 * @param quantization 4-bit format of the decoder layers' linear weights; null to keep them as numbers. Its dtype is ignored:
 *     decoded values are rounded to {@code dtype}. A checkpoint that already is in 4 bits keeps its codes
 * @param dtype the type that weights are rounded to before anything else, F32, BF16 or F16; null for the stored one. What is neither quantized
 *     nor trained is not widened to F32: it is the same number as stored
 * @param trained whether every parameter gets a gradient, for full fine-tuning: then dtype is F32 and quantization null
 * @param skipModules names, as in a list of target modules, of linear layers that are not quantized
 */
public record LoadOptions(FourBitFormat quantization, DType dtype, boolean trained, List<String> skipModules) {
    public LoadOptions {
        skipModules = List.copyOf(skipModules);
        if (dtype != null && !dtype.isWeightType()) {
            throw new IllegalArgumentException("load: dtype is " + dtype + ", it must be F32, BF16 or F16");
        }
        if (trained && (quantization != null || dtype != DType.F32)) {
            throw new IllegalArgumentException("load: full fine-tuning needs dtype F32 and no quantization, not " + dtype + " and " + quantization);
        }
    }

    /** NF4 with double quantization, other weights as stored: QLoRA. */
    public static LoadOptions defaults() {
        return new LoadOptions(FourBitFormat.defaults(), null, false, List.of());
    }

    /** Every weight as stored. */
    public static LoadOptions asStored() {
        return new LoadOptions(null, null, false, List.of());
    }

    /** Float32 with a gradient for every parameter. */
    public static LoadOptions fullFineTuning() {
        return new LoadOptions(null, DType.F32, true, List.of());
    }

    /** Whether the linear layer {@code name} of a decoder layer is put into 4 bits. */
    boolean quantizes(String name) {
        return quantization != null && skipModules.stream().noneMatch(skipped -> name.equals(skipped) || name.endsWith("." + skipped));
    }

    public LoadOptions withQuantization(FourBitFormat quantization) {
        return new LoadOptions(quantization, dtype, trained, skipModules);
    }

    public LoadOptions withDtype(DType dtype) {
        return new LoadOptions(quantization, dtype, trained, skipModules);
    }

    public LoadOptions withSkipModules(List<String> skipModules) {
        return new LoadOptions(quantization, dtype, trained, skipModules);
    }
}
