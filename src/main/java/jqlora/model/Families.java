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
 * @see <a href="https://github.com/huggingface/transformers/tree/v5.17.0/src/transformers/models">transformers 5.17.0, models/{llama,mistral,qwen2,qwen3,gemma,stablelm}</a>
 */
public final class Families {
    /** Values of {@code model_type} that can be loaded. */
    public static final List<String> SUPPORTED = List.of("llama", "mistral", "qwen2", "qwen3", "gemma", "stablelm");

    private static final double DEFAULT_ROPE_THETA = 10_000, STABLELM_ROTARY_FACTOR = 0.25;
    private static final int GEMMA_HEAD_DIM = 256;

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
        for (String key : List.of("use_parallel_residual", "qk_layernorm", "use_bidirectional_attention")) {
            if (values.flag(key, false)) {
                throw values.fault(key, "false; what it switches on cannot be computed yet");
            }
        }
        int layers = values.positive("num_hidden_layers"), hidden = values.positive("hidden_size");
        boolean gemma = type.equals("gemma");
        EmbeddingSpec embedding = new EmbeddingSpec(values.flag("tie_word_embeddings", gemma), gemma ? (float) Math.sqrt(hidden) : 1);
        return new DecoderSpec(type, values.positive("vocab_size"), hidden, layers, attention(config, type, layers), mlp(values, type), norm(values, type), embedding);
    }

    private static NormSpec norm(JsonView values, String type) throws IOException {
        return switch (type) {
            case "stablelm" -> new NormSpec(NormSpec.Kind.LAYER, (float) values.number("layer_norm_eps", 1e-5));
            case "gemma" -> new NormSpec(NormSpec.Kind.RMS_FROM_ONE, (float) values.number("rms_norm_eps", 1e-6));
            default -> new NormSpec(NormSpec.Kind.RMS, (float) values.number("rms_norm_eps", 1e-6));
        };
    }

    private static AttentionSpec attention(HfConfig config, String type, int layers) throws IOException {
        JsonView values = config.values();
        int heads = values.positive("num_attention_heads"), hidden = values.positive("hidden_size");
        int headDim = switch (type) {
            case "gemma" -> values.positive("head_dim", GEMMA_HEAD_DIM);
            case "stablelm" -> hidden / heads;
            default -> values.positive("head_dim", hidden / heads);
        };
        if (type.equals("stablelm") && hidden % heads != 0) {
            throw values.fault("num_attention_heads", "a divisor of hidden_size, " + hidden);
        }
        if (headDim % 2 != 0) {
            throw values.fault(values.has("head_dim") ? "head_dim" : "num_attention_heads", "such that a head has an even size, for rotary positions; it has " + headDim);
        }
        int kvHeads = values.positive("num_key_value_heads", heads);
        if (heads % kvHeads != 0) {
            throw values.fault("num_key_value_heads", "a divisor of num_attention_heads, " + heads);
        }
        boolean attentionBias = values.flag("attention_bias", false), qkvBias = attentionBias, outputBias = attentionBias;
        if (type.equals("qwen2") || type.equals("stablelm")) {
            qkvBias = type.equals("qwen2") || values.flag("use_qkv_bias", false);
            outputBias = false;
        }
        return new AttentionSpec(heads, kvHeads, headDim, qkvBias, outputBias, type.equals("qwen3"), slidingWindows(values, type, layers), rope(config, type, headDim));
    }

    private static MlpSpec mlp(JsonView values, String type) throws IOException {
        boolean gemma = type.equals("gemma");
        Activation activation = activation(values, "hidden_act", gemma ? "gelu_pytorch_tanh" : "silu");
        // which older transformers computed, where the present one never looks
        if (gemma && values.has("hidden_activation") && activation(values, "hidden_activation", "") != activation) {
            throw values.fault("hidden_activation", "null or as hidden_act, \"" + values.text("hidden_act", "gelu_pytorch_tanh") + "\"");
        }
        return new MlpSpec(values.positive("intermediate_size"), values.flag("mlp_bias", false), activation);
    }

    /** @see <a href="https://github.com/huggingface/transformers/blob/v5.17.0/src/transformers/activations.py">transformers activations.py, ACT2CLS</a> */
    private static Activation activation(JsonView values, String key, String fallback) throws IOException {
        return switch (values.text(key, fallback)) {
            case "silu", "swish" -> Activation.SILU;
            case "gelu" -> Activation.GELU;
            case "gelu_pytorch_tanh", "gelu_new" -> Activation.GELU_TANH;
            default -> throw values.fault(key, "one of silu, swish, gelu, gelu_pytorch_tanh, gelu_new");
        };
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

    private static RopeSpec rope(HfConfig config, String type, int headDim) throws IOException {
        boolean partial = type.equals("stablelm");
        RopeParameters rope = config.rope(DEFAULT_ROPE_THETA, partial ? STABLELM_ROTARY_FACTOR : 1);
        JsonView values = rope.values();
        int rotaryDim = (int) (headDim * rope.partialRotaryFactor());
        if (!partial && rope.partialRotaryFactor() != 1) {
            throw rope.partialFault(config.values(), "1 for this family");
        }
        if (rotaryDim < 2 || rotaryDim % 2 != 0) {
            throw rope.partialFault(config.values(), "such that an even part of a head's " + headDim + " coordinates turns, not " + rotaryDim);
        }
        RopeSpec.Scaling scaling = switch (rope.ropeType()) {
            case "default" -> new RopeSpec.Unscaled();
            case "linear" -> new RopeSpec.Linear(values.number("factor"));
            case "llama3" -> new RopeSpec.Llama3(values.number("factor"), values.number("low_freq_factor"), values.number("high_freq_factor"),
                    rope.originalMaxPositionEmbeddings());
            default -> throw rope.typeFault("one of default, linear, llama3; other kinds of positions are not computed yet, so take a model without them,"
                    + " or one whose long-context form is not needed");
        };
        return new RopeSpec(rotaryDim, rope.ropeTheta(), scaling, config.values().positive("max_position_embeddings", 2048));
    }
}
