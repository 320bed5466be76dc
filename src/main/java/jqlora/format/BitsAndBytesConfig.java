package jqlora.format;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import jqlora.quant.FourBitType;
import jqlora.tensor.DType;

/**
 * The {@code quantization_config} of a model whose linear layers are in bitsandbytes' 4 bits.
 *
 * @param quantType {@code bnb_4bit_quant_type}
 * @param doubleQuantization {@code bnb_4bit_use_double_quant}
 * @param computeDtype {@code bnb_4bit_compute_dtype}: F32, F16 or BF16
 * @param skipModules {@code llm_int8_skip_modules}: names of modules that stay as they are; empty (null in the file) for the
 *     stack's own choice, the output head
 * @see <a href="https://github.com/huggingface/transformers/blob/v5.17.0/src/transformers/utils/quantization_config.py">transformers 5.17.0, BitsAndBytesConfig</a>
 */
public record BitsAndBytesConfig(FourBitType quantType, boolean doubleQuantization, DType computeDtype, List<String> skipModules) {
    private static final String METHOD = "bitsandbytes";

    public BitsAndBytesConfig {
        if (!computeDtype.isWeightType()) {
            throw new IllegalArgumentException("computeDtype is " + computeDtype + ", it must be F32, F16 or BF16");
        }
        skipModules = List.copyOf(skipModules);
    }

    /** What transformers takes for what is not given: FP4 without double quantization, computed in float32. */
    public static BitsAndBytesConfig defaults() {
        return new BitsAndBytesConfig(FourBitType.FP4, false, DType.F32, List.of());
    }

    public BitsAndBytesConfig withQuantType(FourBitType quantType) {
        return new BitsAndBytesConfig(quantType, doubleQuantization, computeDtype, skipModules);
    }

    public BitsAndBytesConfig withDoubleQuantization(boolean doubleQuantization) {
        return new BitsAndBytesConfig(quantType, doubleQuantization, computeDtype, skipModules);
    }

    public BitsAndBytesConfig withComputeDtype(DType computeDtype) {
        return new BitsAndBytesConfig(quantType, doubleQuantization, computeDtype, skipModules);
    }

    public BitsAndBytesConfig withSkipModules(List<String> skipModules) {
        return new BitsAndBytesConfig(quantType, doubleQuantization, computeDtype, skipModules);
    }

    /** @throws JsonFileException if the method is not bitsandbytes, or 8 bits, or a value is not as it must be */
    static BitsAndBytesConfig of(JsonView quantization) throws JsonFileException {
        if (!quantization.text("quant_method", METHOD).equals(METHOD)) {
            throw quantization.fault("quant_method", "\"bitsandbytes\"; weights of other methods are not read");
        }
        String eight = key(quantization, "load_in_8bit"), four = key(quantization, "load_in_4bit");
        if (quantization.flag(eight, false)) {
            throw quantization.fault(eight, "false; 8-bit weights are not read yet, load the 16-bit or the 4-bit model");
        }
        if (!quantization.flag(four, false)) {
            throw quantization.fault(four, "true");
        }
        BitsAndBytesConfig defaults = defaults();
        DType compute = quantization.has("bnb_4bit_compute_dtype")
                ? HfConfig.dtype(quantization, "bnb_4bit_compute_dtype") : defaults.computeDtype();
        if (!compute.isWeightType()) {
            throw quantization.fault("bnb_4bit_compute_dtype", "float32, float16 or bfloat16");
        }
        String type = quantization.text("bnb_4bit_quant_type", defaults.quantType().id());
        if (!type.equals("nf4") && !type.equals("fp4")) {
            throw quantization.fault("bnb_4bit_quant_type", "\"nf4\" or \"fp4\"");
        }
        return new BitsAndBytesConfig(FourBitType.ofId(type), quantization.flag("bnb_4bit_use_double_quant", defaults.doubleQuantization()),
                compute, quantization.has("llm_int8_skip_modules") ? quantization.texts("llm_int8_skip_modules") : List.of());
    }

    /** Some files have the key with an underscore in front, most have both. */
    private static String key(JsonView quantization, String key) {
        return quantization.has(key) || !quantization.has("_" + key) ? key : "_" + key;
    }

    /** Every key that transformers writes. */
    Map<String, Object> toMap() {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("_load_in_4bit", true);
        map.put("_load_in_8bit", false);
        map.put("bnb_4bit_compute_dtype", computeDtype.torchName());
        map.put("bnb_4bit_quant_storage", DType.U8.torchName());
        map.put("bnb_4bit_quant_type", quantType.id());
        map.put("bnb_4bit_use_double_quant", doubleQuantization);
        map.put("llm_int8_enable_fp32_cpu_offload", false);
        map.put("llm_int8_has_fp16_weight", false);
        map.put("llm_int8_skip_modules", skipModules.isEmpty() ? null : skipModules);
        map.put("llm_int8_threshold", 6.0);
        map.put("load_in_4bit", true);
        map.put("load_in_8bit", false);
        map.put("quant_method", METHOD);
        return map;
    }
}
