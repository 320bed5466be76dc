package jqlora.lora;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Pattern;
import jqlora.format.JsonFileException;
import jqlora.format.JsonView;

/**
 * How an adapter began: {@code init_lora_weights} of its file, and the keys that go with it. Most ways only choose the first A and B, and are of no account once
 * these are trained; they are kept, so that a saved adapter says what it was. Others put a part of the base's weights into A and B and take it out of the base:
 * such a file is right on that changed base only.
 *
 * @param initLoraWeights true, false, or a name
 * @param evaConfig {@code eva_config}; null for none
 * @see <a href="https://github.com/huggingface/peft/blob/v0.21.0/src/peft/tuners/lora/layer.py">PEFT 0.21.0, LoraLayer.update_layer</a>
 */
record AdapterInit(Object initLoraWeights, Map<String, Object> evaConfig) {
    static final String KEY = "init_lora_weights", EVA = "eva_config";
    private static final List<String> ADAPTER_ONLY = List.of("gaussian", "eva", "orthogonal", "mica");
    private static final Pattern PISSA = Pattern.compile("pissa(_niter_\\d+)?");
    private static final Map<String, String> CHANGES_BASE = Map.of("pissa", "PiSSA", "olora", "OLoRA", "corda", "CorDA", "loftq", "LoftQ", "lora_ga", "LoRA-GA");

    /** PEFT's default. */
    static AdapterInit standard() {
        return new AdapterInit(true, null);
    }

    /**
     * What {@code json} says.
     *
     * @param trained whether the adapter is to be trained on
     * @throws JsonFileException if the adapter belongs to a base that its initialisation changed, the initialisation is not known, or it asks for a training
     *     that is not done here
     */
    static AdapterInit read(JsonView json, boolean trained) throws JsonFileException {
        Map<String, Object> eva = json.isObject(EVA) ? json.object(EVA).toMap() : null;
        if (!json.has(KEY) || json.toMap().get(KEY) instanceof Boolean) {
            return new AdapterInit(json.flag(KEY, true), eva);
        }
        String given = json.text(KEY), name = PISSA.matcher(given).matches() ? "pissa" : given.toLowerCase(Locale.ROOT);
        if (CHANGES_BASE.containsKey(name)) {
            throw json.fault(KEY, "true, false or one of " + String.join(", ", ADAPTER_ONLY) + ": " + CHANGES_BASE.get(name) + " moved a part of the base's weights into this"
                    + " adapter, which on the unchanged base would count twice. " + wayOut(name));
        }
        if (!ADAPTER_ONLY.contains(name)) {
            throw json.fault(KEY, "true, false or one of " + String.join(", ", ADAPTER_ONLY) + "; what another initialisation made of the base is not known here");
        }
        if (name.equals("mica") && trained) {
            throw json.fault(KEY, "another to be trained on: MiCA trains A alone, here both would be trained. Load it without training, or begin a new adapter");
        }
        return new AdapterInit(given, eva);
    }

    private static String wayOut(String name) {
        return name.equals("loftq") ? "Save the base that LoftQ quantized as a model of its own, with PEFT's unload() and save_pretrained, load that, and set " + KEY + " to true in a copy of the adapter"
                : "Convert it to plain LoRA with PEFT: model.save_pretrained(folder, path_initial_model_for_weight_conversion=<the adapter as it began>), or merge it there with"
                + " merge_and_unload() and load the merged model";
    }

    /** Puts what is not PEFT's default into {@code keys}. */
    void writeTo(Map<String, Object> keys) {
        keys.put(KEY, initLoraWeights);
        if (evaConfig != null) {
            keys.put(EVA, new LinkedHashMap<>(evaConfig));
        }
    }
}
