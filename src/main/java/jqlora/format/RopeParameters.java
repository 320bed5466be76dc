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
        Read theta = Read.first(new Read(rope, "rope_theta"), new Read(config, "rope_theta"), new Read(config, "rotary_emb_base"));
        Read partial = partial(rope, config);
        double base = theta.view().number(theta.key(), defaultTheta);
        double share = partial.view().number(partial.key(), defaultPartialRotaryFactor);
        if (!(base > 0)) {
            throw theta.view().fault(theta.key(), "positive");
        }
        if (!(share > 0 && share <= 1)) {
            throw partial.view().fault(partial.key(), "above 0 and at most 1");
        }
        int original = config.positive(ORIGINAL, rope.positive(ORIGINAL, config.positive("max_position_embeddings", 0)));
        return new RopeParameters(rope.text(typeKey(rope), "default"), base, share, original, rope);
    }

    /** A value's place: files of different ages have it in different ones. */
    private record Read(JsonView view, String key) {
        /** The first of {@code places} that has a value; the last if none has. */
        static Read first(Read... places) {
            for (Read place : places) {
                if (place.view.has(place.key)) {
                    return place;
                }
            }
            return places[places.length - 1];
        }
    }

    private static Read partial(JsonView rope, JsonView config) {
        String key = "partial_rotary_factor";
        return Read.first(new Read(rope, key), new Read(config, key), new Read(config, "rotary_pct"));
    }

    /** {@code rope_type}, or {@code type}, as files written before transformers 4.43 call it. */
    private static String typeKey(JsonView rope) {
        return Read.first(new Read(rope, "rope_type"), new Read(rope, "type"), new Read(rope, "rope_type")).key();
    }

    /** The error that the type is not one of those that can be computed; it names the key that the type was read from.
     * @param must what it must be, such as {@code one of default, linear} */
    public JsonFileException typeFault(String must) {
        return values.fault(typeKey(values), must);
    }

    /** The error that the share of rotated dimensions is not what it must be, under the key that it was read from.
     * @param config the whole file */
    public JsonFileException partialFault(JsonView config, String must) {
        Read read = partial(values, config);
        return read.view().fault(read.key(), must);
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
