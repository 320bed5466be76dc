package jqlora.model.families;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import jqlora.format.HfConfig;
import jqlora.format.JsonView;
import jqlora.format.RopeParameters;
import jqlora.model.RopeSpec;
import jqlora.ops.Activation;

/** A {@code config.json} with what several families read in the same way. */
record FamilyConfig(HfConfig config) {
    private static final double DEFAULT_ROPE_THETA = 10_000;

    JsonView values() {
        return config.values();
    }

    int positive(String key) throws IOException {
        return values().positive(key);
    }

    int positive(String key, int fallback) throws IOException {
        return values().positive(key, fallback);
    }

    boolean flag(String key, boolean fallback) throws IOException {
        return values().flag(key, fallback);
    }

    float number(String key, double fallback) throws IOException {
        return (float) values().number(key, fallback);
    }

    /** The first of {@code keys} that is there: files of different ages call one value by different names. */
    String firstOf(String... keys) {
        for (String key : keys) {
            if (values().has(key)) {
                return key;
            }
        }
        return keys[0];
    }

    /** Refuses the switches of what is not computed, where they are on. */
    void requireOff(String... keys) throws IOException {
        for (String key : keys) {
            if (values().flag(key, false)) {
                throw values().fault(key, "false; what it switches on cannot be computed yet");
            }
        }
    }

    /** Refuses values of what is not computed, where they are set. */
    static void requireNull(JsonView values, String... keys) throws IOException {
        for (String key : keys) {
            if (values.has(key)) {
                throw values.fault(key, "null; what it asks for cannot be computed yet");
            }
        }
    }

    /** The size of one head where it follows from the hidden size. */
    int headDim(String headsKey, int hidden) throws IOException {
        int heads = positive(headsKey);
        if (hidden % heads != 0) {
            throw values().fault(headsKey, "a divisor of hidden_size, " + hidden);
        }
        return hidden / heads;
    }

    /** Key and value heads. */
    int kvHeads(String key, int heads) throws IOException {
        int kvHeads = positive(key, heads);
        if (heads % kvHeads != 0) {
            throw values().fault(key, "a divisor of num_attention_heads, " + heads);
        }
        return kvHeads;
    }

    /** @see <a href="https://github.com/huggingface/transformers/blob/v5.17.0/src/transformers/activations.py">transformers activations.py, ACT2CLS</a> */
    Activation activation(String key, String fallback) throws IOException {
        return switch (values().text(key, fallback)) {
            case "silu", "swish" -> Activation.SILU;
            case "gelu" -> Activation.GELU;
            case "gelu_pytorch_tanh", "gelu_new", "gelu_fast" -> Activation.GELU_TANH;
            case "relu" -> Activation.RELU;
            case "relu2" -> Activation.RELU_SQUARED;
            default -> throw values().fault(key, "one of silu, swish, gelu, gelu_pytorch_tanh, gelu_new, gelu_fast, relu, relu2");
        };
    }

    /** One window for all layers; 0 for none. */
    static List<Integer> windows(int layers, int window) {
        return Collections.nCopies(layers, window);
    }

    /** For each layer a window, or 0, as {@code layer_types} says. @param types what it is where the file does not say */
    List<Integer> windowsByType(int layers, int window, List<String> types) throws IOException {
        List<String> named = values().has("layer_types") ? values().texts("layer_types") : types;
        if (named.size() != layers) {
            throw values().fault("layer_types", "a list of " + layers + " entries, one a layer");
        }
        List<Integer> windows = new ArrayList<>();
        for (String layer : named) {
            windows.add(switch (layer) {
                case "full_attention" -> 0;
                case "sliding_attention" -> window;
                default -> throw values().fault("layer_types", "\"full_attention\" or \"sliding_attention\" for each layer");
            });
        }
        return windows;
    }

    /** Rotary positions of whole heads. */
    RopeSpec rope(int headDim) throws IOException {
        RopeParameters rope = config.rope(DEFAULT_ROPE_THETA, 1);
        if (rope.partialRotaryFactor() != 1) {
            throw rope.partialFault(values(), "1 for this family");
        }
        return rope(rope, headDim);
    }

    /** Rotary positions of a part of each head. @param factor its share, where the file does not say */
    RopeSpec partialRope(int headDim, double factor) throws IOException {
        return rope(config.rope(DEFAULT_ROPE_THETA, factor), headDim);
    }

    /**
     * Rotary positions of the layers of one type: {@code rope_parameters} may have an object for each type, and older files a base under {@code key}.
     *
     * @param theta where the file does not say
     */
    RopeSpec ropeOf(String layerType, int headDim, double theta, String key) throws IOException {
        JsonView parameters = values().has("rope_parameters") ? values().object("rope_parameters") : null;
        if (parameters != null && parameters.has(layerType)) {
            return new FamilyConfig(config.with("rope_parameters", parameters.object(layerType).toMap()).without("rope_scaling")).rope(headDim);
        }
        // the base of this type alone; a scaling that older files name holds for layers that see everything
        HfConfig plain = config.without("rope_parameters").with("rope_theta", values().number(key, theta));
        return new FamilyConfig(layerType.equals("full_attention") ? plain : plain.without("rope_scaling")).rope(headDim);
    }

    private RopeSpec rope(RopeParameters rope, int headDim) throws IOException {
        if (headDim % 2 != 0) {
            throw values().fault(values().has("head_dim") ? "head_dim" : "num_attention_heads", "such that a head has an even size, for rotary positions; it has " + headDim);
        }
        JsonView values = rope.values();
        int rotaryDim = (int) (headDim * rope.partialRotaryFactor());
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
        return new RopeSpec(rotaryDim, rope.ropeTheta(), scaling, values().positive("max_position_embeddings", 2048), false);
    }
}
