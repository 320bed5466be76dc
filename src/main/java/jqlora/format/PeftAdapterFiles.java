package jqlora.format;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.zip.CRC32C;

/**
 * A PEFT adapter's folder: {@code adapter_config.json} and {@code adapter_model.safetensors}, whose keys are those of the base model
 * behind {@code base_model.model.}. What the configuration means is not judged here.
 *
 * @param config {@code adapter_config.json}, read strictly
 * @param tensors {@code adapter_model.safetensors}, mapped until {@link #close}
 * @see <a href="https://huggingface.co/docs/peft/developer_guides/checkpoint">PEFT checkpoint format</a>
 */
public record PeftAdapterFiles(JsonView config, SafetensorsFile tensors) implements AutoCloseable {
    public static final String CONFIG = "adapter_config.json";
    public static final String WEIGHTS = "adapter_model.safetensors";
    /** Stands in front of every key; the module's name in the base model follows. */
    public static final String KEY_PREFIX = "base_model.model.";

    /**
     * Opens the adapter in {@code folder}.
     *
     * @throws SafetensorsException if the weights are missing or malformed, or a key lacks the prefix
     * @throws JsonFileException if the configuration is missing, not a JSON object, or without {@code peft_type}
     */
    public static PeftAdapterFiles open(Path folder) throws IOException {
        if (!Files.exists(folder.resolve(CONFIG)) && !Files.exists(folder.resolve(WEIGHTS))) {
            throw new JsonFileException(folder.toString(), "has neither " + CONFIG + " nor " + WEIGHTS + ", an adapter's folder must have both");
        }
        JsonView config = JsonView.read(folder.resolve(CONFIG));
        config.text("peft_type");
        if (!Files.exists(folder.resolve(WEIGHTS)) && Files.exists(folder.resolve("adapter_model.bin"))) {
            throw new SafetensorsException(folder, "has its weights only as adapter_model.bin, a Python pickle, which can run code when it"
                    + " is read; convert it to " + WEIGHTS + " first");
        }
        SafetensorsFile tensors = SafetensorsFile.open(folder.resolve(WEIGHTS));
        boolean checked = false;
        try {
            checkKeys(tensors.path(), tensors.names());
            checked = true;
        } finally {
            if (!checked) {
                tensors.close();
            }
        }
        return new PeftAdapterFiles(config, tensors);
    }

    /**
     * Writes an adapter into {@code folder}, which is made if it is not there, and reads it back. The configuration is the last file to
     * appear, and an old one that differs goes first: a folder whose writing was interrupted is refused rather than read half.
     *
     * @param config the keys of {@code adapter_config.json}; of a LoRA adapter, keys that are not given have PEFT's defaults
     * @param tensors at least one, each key with the prefix
     * @throws SafetensorsException if there is no tensor, a key lacks the prefix, or what is read back differs from what was written
     */
    public static void write(Path folder, Map<String, ?> config, List<TensorSource> tensors) throws IOException {
        Path weightsFile = folder.resolve(WEIGHTS), configFile = folder.resolve(CONFIG);
        if (tensors.isEmpty()) {
            throw new SafetensorsException(weightsFile, "would have no tensor, an adapter must have at least one");
        }
        checkKeys(weightsFile, tensors.stream().map(TensorSource::name).toList());
        Map<String, Object> keys = new TreeMap<>(config.containsKey("peft_type") && !"LORA".equals(config.get("peft_type"))
                ? Map.of() : loraDefaults());
        keys.putAll(config);
        String text = PythonJson.config().dumps(keys);
        Files.createDirectories(folder);
        Map<String, CRC32C> sums = new LinkedHashMap<>();
        List<TensorSource> summed = tensors.stream().map(tensor -> summed(tensor, sums)).toList();
        try (PendingFile weights = SafetensorsWriter.prepare(weightsFile, summed, SafetensorsWriter.PT)) {
            readBack(weights.temporary(), tensors, sums);
            if (!Files.exists(configFile) || !Files.readString(configFile).equals(text)) {
                Files.deleteIfExists(configFile);
            }
            weights.commit();
        }
        PendingFile.replace(configFile, text);
        open(folder).close();
    }

    private static void checkKeys(Path file, List<String> names) throws SafetensorsException {
        for (String name : names) {
            if (!name.startsWith(KEY_PREFIX)) {
                throw new SafetensorsException(file, name, "an adapter's keys must begin with \"" + KEY_PREFIX + "\"");
            }
        }
    }

    private static TensorSource summed(TensorSource tensor, Map<String, CRC32C> sums) {
        return new TensorSource(tensor.name(), tensor.dtype(), tensor.shape(), sink -> {
            CRC32C sum = new CRC32C();
            tensor.content().writeTo(bytes -> {
                update(sum, bytes);
                sink.write(bytes);
            });
            sums.put(tensor.name(), sum);
        });
    }

    /** A byte buffer holds at most 2 GB, a saved embedding may have more. */
    private static void update(CRC32C sum, MemorySegment bytes) {
        for (long at = 0; at < bytes.byteSize(); at += 1 << 30) {
            sum.update(bytes.asSlice(at, Math.min(1 << 30, bytes.byteSize() - at)).asByteBuffer());
        }
    }

    static void readBack(Path file, List<TensorSource> tensors, Map<String, CRC32C> sums) throws IOException {
        try (SafetensorsFile written = SafetensorsFile.open(file)) {
            for (TensorSource tensor : tensors) {
                CRC32C sum = new CRC32C();
                update(sum, written.get(tensor.name()).data());
                if (sum.getValue() != sums.get(tensor.name()).getValue()) {
                    throw new SafetensorsException(file, tensor.name(), "reads back other bytes than were written; is the disk damaged?");
                }
            }
        }
    }

    /** What {@code peft.LoraConfig()} of PEFT 0.21.0 saves, with nulls, so that a file of ours has the keys of one of PEFT's. */
    private static Map<String, Object> loraDefaults() {
        Map<String, Object> defaults = new LinkedHashMap<>();
        for (String key : List.of("alora_invocation_tokens", "arrow_config", "auto_mapping", "base_model_name_or_path", "corda_config", "eva_config",
                "exclude_modules", "kasa_config", "layer_replication", "layers_pattern", "layers_to_transform", "lora_ga_config", "megatron_config",
                "modules_to_save", "monteclora_config", "revision", "target_modules", "target_parameters", "task_type", "trainable_token_indices",
                "use_bdlora", "velora_config")) {
            defaults.put(key, null);
        }
        for (String key : List.of("ensure_weight_tying", "fan_in_fan_out", "lora_bias", "use_dora", "use_qalora", "use_rslora")) {
            defaults.put(key, false);
        }
        for (String key : List.of("alpha_pattern", "loftq_config", "rank_pattern")) {
            defaults.put(key, Map.of());
        }
        defaults.put("bias", "none");
        defaults.put("inference_mode", true);
        defaults.put("init_lora_weights", true);
        defaults.put("lora_alpha", 8);
        defaults.put("lora_dropout", 0.0);
        defaults.put("megatron_core", "megatron.core");
        defaults.put("peft_type", "LORA");
        defaults.put("peft_version", "0.21.0");
        defaults.put("qalora_group_size", 16);
        defaults.put("r", 8);
        return defaults;
    }

    /** Ends the mapping of the tensors. */
    @Override
    public void close() {
        tensors.close();
    }

    /** Such as {@code adapter: LORA, 4 tensors}. */
    @Override
    public String toString() {
        return tensors.path().toAbsolutePath().getParent().getFileName() + ": " + config.object().get("peft_type").getAsString() + ", "
                + tensors.infos().size() + " tensors";
    }
}
