package jqlora.model;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import jqlora.format.HfConfig;
import jqlora.format.JsonView;
import jqlora.format.RopeParameters;
import jqlora.ops.Activation;

/**
 * The families that the decoder computes, and what their {@code config.json} means. All of them name their tensors as Llama does.
 *
 * @see <a href="https://github.com/huggingface/transformers/tree/v5.17.0/src/transformers/models">transformers 5.17.0, models/{llama,mistral,qwen2,qwen3}</a>
 */
public final class Families {
    /** Values of {@code model_type} that can be loaded. */
    public static final List<String> SUPPORTED = List.of("llama", "mistral", "qwen2", "qwen3");

    private static final double DEFAULT_ROPE_THETA = 10_000;

    private Families() { }

    /**
     * The decoder that {@code config} describes.
     *
     * @throws IOException if the family is not supported, or a value is missing or not as it must be
     */
    public static DecoderSpec read(HfConfig config) throws IOException {
        String type = config.modelType();
        if (!SUPPORTED.contains(type)) {
            throw config.values().fault("model_type", "one of " + String.join(", ", SUPPORTED) + "; other families cannot be computed yet");
        }
        JsonView values = config.values();
        int layers = values.positive("num_hidden_layers");
        return new DecoderSpec(type, values.positive("vocab_size"), values.positive("hidden_size"), layers, attention(config, type, layers),
                mlp(values, type), (float) values.number("rms_norm_eps", 1e-6), values.flag("tie_word_embeddings", false));
    }

    private static AttentionSpec attention(HfConfig config, String type, int layers) throws IOException {
        JsonView values = config.values();
        int heads = values.positive("num_attention_heads"), hidden = values.positive("hidden_size");
        int headDim = values.positive("head_dim", hidden / heads);
        if (headDim % 2 != 0) {
            throw values.fault(values.has("head_dim") ? "head_dim" : "num_attention_heads", "such that a head has an even size, for rotary positions; it has " + headDim);
        }
        int kvHeads = values.positive("num_key_value_heads", heads);
        if (heads % kvHeads != 0) {
            throw values.fault("num_key_value_heads", "a divisor of num_attention_heads, " + heads);
        }
        boolean attentionBias = values.flag("attention_bias", false);
        boolean qkvBias = type.equals("qwen2") || attentionBias, outputBias = !type.equals("qwen2") && attentionBias;
        return new AttentionSpec(heads, kvHeads, headDim, qkvBias, outputBias, type.equals("qwen3"), slidingWindows(values, type, layers), rope(config));
    }

    private static MlpSpec mlp(JsonView values, String type) throws IOException {
        String activation = values.text("hidden_act", "silu");
        if (!activation.equals("silu") && !activation.equals("swish")) {
            throw values.fault("hidden_act", "\"silu\" for " + type);
        }
        return new MlpSpec(values.positive("intermediate_size"), values.flag("mlp_bias", false), Activation.SILU);
    }

    /** 0 where a layer sees everything. Mistral has one window for all layers, Qwen names the layers that have one. */
    private static List<Integer> slidingWindows(JsonView values, String type, int layers) throws IOException {
        int window = switch (type) {
            case "mistral" -> values.positive("sliding_window", 0);
            case "qwen2", "qwen3" -> values.flag("use_sliding_window", false) ? values.positive("sliding_window", 4096) : 0;
            default -> 0;
        };
        if (window == 0 || type.equals("mistral")) {
            return Collections.nCopies(layers, window);
        }
        List<String> types = values.has("layer_types") ? values.texts("layer_types") : layerTypes(layers, values.positive("max_window_layers", 28));
        if (types.size() != layers) {
            throw values.fault("layer_types", "a list of " + layers + " entries, one a layer");
        }
        List<Integer> windows = new ArrayList<>();
        for (String layer : types) {
            windows.add(switch (layer) {
                case "full_attention" -> 0;
                case "sliding_attention" -> window;
                default -> throw values.fault("layer_types", "\"full_attention\" or \"sliding_attention\" for each layer");
            });
        }
        return windows;
    }

    private static List<String> layerTypes(int layers, int maxWindowLayers) {
        List<String> types = new ArrayList<>();
        for (int i = 0; i < layers; i++) {
            types.add(i >= maxWindowLayers ? "sliding_attention" : "full_attention");
        }
        return types;
    }

    private static RopeSpec rope(HfConfig config) throws IOException {
        RopeParameters rope = config.rope(DEFAULT_ROPE_THETA, 1);
        JsonView values = rope.values();
        if (rope.partialRotaryFactor() != 1) {
            throw config.values().fault("partial_rotary_factor", "1 for this family");
        }
        RopeSpec.Scaling scaling = switch (rope.ropeType()) {
            case "default" -> new RopeSpec.Unscaled();
            case "linear" -> new RopeSpec.Linear(values.number("factor"));
            case "llama3" -> new RopeSpec.Llama3(values.number("factor"), values.number("low_freq_factor"), values.number("high_freq_factor"),
                    rope.originalMaxPositionEmbeddings());
            default -> throw values.fault("rope_type", "one of default, linear, llama3");
        };
        return new RopeSpec(rope.ropeTheta(), scaling, config.values().positive("max_position_embeddings", 2048));
    }
}
