package jqlora.format;

import com.google.gson.JsonObject;

/**
 * Rotary position embedding of a model, in transformers 5's terms.
 *
 * @param ropeType {@code default}, {@code linear}, {@code dynamic}, {@code yarn}, {@code longrope}, {@code llama3} ...
 * @param ropeTheta base of the frequencies
 * @param partialRotaryFactor share of a head's dimensions that is rotated, from the front
 * @param originalMaxPositionEmbeddings positions of the pretraining, before scaling; 0 if the file does not say
 * @param values what the type needs besides, such as {@code factor}
 * @see <a href="https://github.com/huggingface/transformers/blob/v5.17.0/src/transformers/modeling_rope_utils.py">transformers 5.17.0, convert_rope_params_to_dict</a>
 */
public record RopeParameters(String ropeType, double ropeTheta, double partialRotaryFactor, int originalMaxPositionEmbeddings, JsonView values) {
    private static final String ORIGINAL = "original_max_position_embeddings";

    /** As transformers: {@code rope_scaling} goes before {@code rope_parameters}, and both before keys of the whole file. */
    static RopeParameters of(JsonView config, double defaultTheta, double defaultPartialRotaryFactor) throws JsonFileException {
        JsonView rope = parameters(config);
        for (String key : rope.keys()) {
            if (rope.object().get(key).isJsonObject()) {
                throw rope.fault(key, "a value for all layers; rotary parameters by layer type are not read");
            }
        }
        double theta = rope.number("rope_theta", config.number("rope_theta", config.number("rotary_emb_base", defaultTheta)));
        double partial = rope.number("partial_rotary_factor",
                config.number("partial_rotary_factor", config.number("rotary_pct", defaultPartialRotaryFactor)));
        if (!(theta > 0)) {
            throw new JsonFileException(config.file(), "rope_theta is " + theta + ", it must be positive");
        }
        if (!(partial > 0 && partial <= 1)) {
            throw new JsonFileException(config.file(), "partial_rotary_factor is " + partial + ", it must be above 0 and at most 1");
        }
        int original = config.positive(ORIGINAL, rope.positive(ORIGINAL, config.positive("max_position_embeddings", 0)));
        return new RopeParameters(rope.text("rope_type", rope.text("type", "default")), theta, partial, original, rope);
    }

    private static JsonView parameters(JsonView config) throws JsonFileException {
        for (String key : new String[] {"rope_scaling", "rope_parameters"}) {
            if (config.has(key) && !config.object(key).keys().isEmpty()) {
                return config.object(key);
            }
        }
        return new JsonView(config.file(), "rope_parameters.", new JsonObject());
    }
}
