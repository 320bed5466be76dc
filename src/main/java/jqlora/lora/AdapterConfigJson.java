package jqlora.lora;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import jqlora.format.JsonFileException;
import jqlora.format.JsonView;

/**
 * {@link LoraConfig} in the keys of PEFT's {@code adapter_config.json}.
 *
 * @see <a href="https://github.com/huggingface/peft/blob/v0.21.0/src/peft/tuners/lora/config.py">PEFT 0.21.0, LoraConfig</a>
 */
final class AdapterConfigJson {
    /** Keys that say nothing about what is computed; of fan_in_fan_out PEFT itself says so for linear layers; biases and whole modules are judged by their tensors. */
    private static final Set<String> NEUTRAL = Set.of("peft_type", "task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision",
            "inference_mode", "megatron_config", "megatron_core", "qalora_group_size", "ensure_weight_tying", "fan_in_fan_out", "modules_to_save");
    /** Keys that count when an adapter is made or trained; its numbers have in them what came of it. {@link AdapterInit} judges how it began. */
    private static final Set<String> CREATION = Set.of(AdapterInit.KEY, AdapterInit.EVA, "loftq_config", "corda_config", "lora_ga_config", "runtime_config", "velora_config");
    private static final Set<String> READ = Set.of("r", "lora_alpha", "lora_dropout", "use_rslora", "target_modules", "exclude_modules",
            "layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern", "bias");

    private static final String ELSEWHERE = ". Merge the adapter in PEFT with merge_and_unload(), save the model and load that";

    private AdapterConfigJson() { }

    /**
     * The configuration in {@code json}.
     *
     * @throws JsonFileException if it is not LoRA, a value is not as it must be, or it asks for something that cannot be computed
     *     here, such as DoRA: the adapter would silently be another
     */
    static LoraConfig read(JsonView json) throws JsonFileException {
        if (!json.text("peft_type").equals("LORA")) {
            throw json.fault("peft_type", "\"LORA\"");
        }
        if (!List.of("none", "all", "lora_only").contains(json.text("bias", "none"))) {
            throw json.fault("bias", "\"none\", \"all\" or \"lora_only\"");
        }
        for (String key : json.keys()) {
            if (!NEUTRAL.contains(key) && !CREATION.contains(key) && !READ.contains(key) && json.isSet(key)) {
                throw json.fault(key, "absent, null, false or empty; this part of PEFT cannot be computed yet" + ELSEWHERE);
            }
        }
        try {
            return new LoraConfig(json.positive("r"), json.number("lora_alpha"), (float) json.number("lora_dropout", 0), json.flag("use_rslora", false),
                    targets(json, "target_modules"), limits(json), patterns(json));
        } catch (IllegalArgumentException invalid) {
            throw new JsonFileException(json.file(), invalid.getMessage());
        }
    }

    private static TargetModules targets(JsonView json, String key) throws JsonFileException {
        if (!json.has(key)) {
            throw json.fault(key, "a list of names, a regular expression or \"all-linear\"");
        }
        return json.isArray(key) ? new TargetModules.Names(json.texts(key)) : TargetModules.ofText(json.text(key));
    }

    private static TargetLimits limits(JsonView json) throws JsonFileException {
        TargetModules excluded = json.isSet("exclude_modules") ? targets(json, "exclude_modules") : null;
        List<String> patterns = List.of();
        if (json.has("layers_pattern")) {
            patterns = json.isArray("layers_pattern") ? json.texts("layers_pattern") : List.of(json.text("layers_pattern"));
        }
        return new TargetLimits(excluded, layers(json), patterns.stream().filter(pattern -> !pattern.isEmpty()).toList());
    }

    private static List<Integer> layers(JsonView json) throws JsonFileException {
        String key = "layers_to_transform";
        if (!json.has(key)) {
            return List.of();
        }
        List<Integer> layers = new ArrayList<>();
        for (long layer : json.isArray(key) ? json.wholes(key) : new long[] {json.whole(key)}) {
            if (layer < 0 || layer > Integer.MAX_VALUE) {
                throw json.fault(key, "a layer's number, from 0, or a list of them");
            }
            layers.add((int) layer);
        }
        return layers;
    }

    private static RankPatterns patterns(JsonView json) throws JsonFileException {
        Map<String, Integer> ranks = new LinkedHashMap<>();
        Map<String, Double> alphas = new LinkedHashMap<>();
        if (json.has("rank_pattern")) {
            JsonView object = json.object("rank_pattern");
            for (String key : object.keys()) {
                ranks.put(key, object.positive(key));
            }
        }
        if (json.has("alpha_pattern")) {
            JsonView object = json.object("alpha_pattern");
            for (String key : object.keys()) {
                alphas.put(key, object.number(key));
            }
        }
        return new RankPatterns(ranks, alphas);
    }

    /** The keys that differ from PEFT's defaults, and those that are always given. */
    static Map<String, Object> write(LoraConfig config, String baseModel) {
        return write(config, AdapterInit.standard(), baseModel, null);
    }

    /** @param revision of the base model, a commit; null for none */
    static Map<String, Object> write(LoraConfig config, AdapterInit init, String baseModel, String revision) {
        Map<String, Object> keys = new LinkedHashMap<>();
        keys.put("base_model_name_or_path", baseModel);
        keys.put("revision", revision);
        init.writeTo(keys);
        keys.put("task_type", "CAUSAL_LM");
        keys.put("r", config.r());
        keys.put("lora_alpha", number(config.loraAlpha()));
        // the shortest decimal of the float, not of the double that it widens to: 0.05, not 0.05000000074505806
        keys.put("lora_dropout", Double.parseDouble(Float.toString(config.loraDropout())));
        keys.put("use_rslora", config.useRslora());
        keys.put("target_modules", targets(config.targetModules()));
        keys.put("exclude_modules", config.limits().excludeModules() == null ? null : targets(config.limits().excludeModules()));
        keys.put("layers_to_transform", config.limits().layersToTransform().isEmpty() ? null : config.limits().layersToTransform());
        keys.put("layers_pattern", config.limits().layersPattern().isEmpty() ? null : config.limits().layersPattern());
        keys.put("rank_pattern", config.patterns().rankPattern());
        Map<String, Object> alphas = new LinkedHashMap<>();
        config.patterns().alphaPattern().forEach((key, alpha) -> alphas.put(key, number(alpha)));
        keys.put("alpha_pattern", alphas);
        return keys;
    }

    private static Object targets(TargetModules targets) {
        return switch (targets) {
            case TargetModules.Names(var names) -> names;
            case TargetModules.Regex(var regex) -> regex;
            case TargetModules.AllLinear() -> "all-linear";
        };
    }

    /** A whole number as Python's int, as PEFT writes alpha. */
    private static Object number(double value) {
        return value == Math.rint(value) ? (Object) (long) value : (Object) value;
    }
}
