package jqlora.model;

import java.io.IOException;
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
 * @param quantizeRest whether, in a checkpoint that is in 4 bits itself, the layers that it left as numbers are quantized too; by default it decides
 */
public record LoadOptions(FourBitFormat quantization, DType dtype, boolean trained, List<String> skipModules, boolean quantizeRest) {
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
        return new LoadOptions(FourBitFormat.defaults(), null, false, List.of(), false);
    }

    /** Every weight as stored. */
    public static LoadOptions asStored() {
        return new LoadOptions(null, null, false, List.of(), false);
    }

    /** Float32 with a gradient for every parameter. */
    public static LoadOptions fullFineTuning() {
        return new LoadOptions(null, DType.F32, true, List.of(), false);
    }

    /** Whether the linear layer {@code name} of a decoder layer is put into 4 bits. */
    boolean quantizes(String name) {
        return quantization != null && !skips(name);
    }

    private boolean skips(String name) {
        return skipModules.stream().anyMatch(skipped -> name.equals(skipped) || name.endsWith("." + skipped));
    }

    /** These for a checkpoint, of which the caller says whether it is in 4 bits itself. */
    LoadOptions of(boolean fourBitCheckpoint) {
        return fourBitCheckpoint && !quantizeRest ? withQuantization(null) : this;
    }

    /** @throws IOException if {@code name}, which the checkpoint has in 4 bits, is to be as numbers */
    void requireFits(String name) throws IOException {
        if (trained) {
            throw new IOException("load: " + name + " is in 4 bits in the checkpoint, full fine-tuning needs numbers; load the 16-bit model, or train an adapter");
        }
        if (skips(name)) {
            throw new IOException("load: " + name + " is in 4 bits in the checkpoint, but skipModules asks for its numbers, which are not there; load the 16-bit model,"
                    + " or take it out of skipModules");
        }
    }

    public LoadOptions withQuantizeRest(boolean quantizeRest) {
        return new LoadOptions(quantization, dtype, trained, skipModules, quantizeRest);
    }

    public LoadOptions withQuantization(FourBitFormat quantization) {
        return new LoadOptions(quantization, dtype, trained, skipModules, quantizeRest);
    }

    public LoadOptions withDtype(DType dtype) {
        return new LoadOptions(quantization, dtype, trained, skipModules, quantizeRest);
    }

    public LoadOptions withSkipModules(List<String> skipModules) {
        return new LoadOptions(quantization, dtype, trained, skipModules, quantizeRest);
    }
}
