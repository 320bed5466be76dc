package jqlora.format;

import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;
import jqlora.tensor.DType;

/**
 * A model's {@code config.json}, in the form of transformers 5 ({@code dtype}, {@code rope_parameters}) or an older one
 * ({@code torch_dtype}, {@code rope_theta}, {@code rope_scaling}). Keys that nothing here reads are kept.
 *
 * @param values every key, read strictly
 * @param text the file, character for character, as long as nothing is changed
 */
public record HfConfig(JsonView values, String text) {
    /** The name of the file in a model's folder. */
    public static final String FILE = "config.json";

    private static final String QUANTIZATION = "quantization_config";

    /**
     * Reads {@code folder/config.json}.
     *
     * @throws JsonFileException if it is not there, or not a JSON object
     */
    public static HfConfig read(Path folder) throws IOException {
        Path file = folder.resolve(FILE);
        return parse(file.toString(), Utf8File.read(file));
    }

    /** As {@link #read}, of a text.
     * @param file the name that stands in front of error messages */
    public static HfConfig parse(String file, String text) throws JsonFileException {
        return new HfConfig(JsonView.parse(file, text), text);
    }

    /** The family, such as {@code llama}. */
    public String modelType() throws JsonFileException {
        return values.text("model_type");
    }

    /** The type of the stored weights, {@code dtype} or {@code torch_dtype}; empty if the file does not say. */
    public Optional<DType> dtype() throws JsonFileException {
        String key = values.has("dtype") ? "dtype" : "torch_dtype";
        return values.has(key) ? Optional.of(dtype(values, key)) : Optional.empty();
    }

    static DType dtype(JsonView values, String key) throws JsonFileException {
        try {
            return DType.ofTorchName(values.text(key));
        } catch (IllegalArgumentException unknown) {
            throw values.fault(key, "one of float32, float16, bfloat16, float64");
        }
    }

    /**
     * How positions are rotated, the same whatever form the file has.
     *
     * @param defaultTheta the family's base where the file has none
     * @param defaultPartialRotaryFactor the family's share of rotated dimensions where the file has none
     */
    public RopeParameters rope(double defaultTheta, double defaultPartialRotaryFactor) throws JsonFileException {
        return RopeParameters.of(values, defaultTheta, defaultPartialRotaryFactor);
    }

    /**
     * How the stored weights are quantized; empty if they are not.
     *
     * @throws JsonFileException if the method is another than bitsandbytes' 4 bits
     */
    public Optional<BitsAndBytesConfig> quantization() throws JsonFileException {
        return values.has(QUANTIZATION) ? Optional.of(BitsAndBytesConfig.of(values.object(QUANTIZATION))) : Optional.empty();
    }

    /** This with {@code value} at {@code key}: a map, iterable, string, number, boolean or null; keys are then sorted, as transformers writes them. */
    public HfConfig with(String key, Object value) {
        JsonObject changed = values.object().deepCopy();
        changed.add(key, JsonTrees.of(value));
        return changed(changed);
    }

    /** This without {@code key}. */
    public HfConfig without(String key) {
        JsonObject changed = values.object().deepCopy();
        changed.remove(key);
        return changed(changed);
    }

    /** This with weights of {@code dtype}. */
    public HfConfig withDtype(DType dtype) {
        return without("torch_dtype").with("dtype", dtype.torchName());
    }

    /** This of a model whose weights are in 4 bits. */
    public HfConfig withQuantization(BitsAndBytesConfig quantization) {
        return with(QUANTIZATION, quantization.toMap());
    }

    /** This of a model whose weights are not quantized. */
    public HfConfig withoutQuantization() {
        return without(QUANTIZATION);
    }

    private HfConfig changed(JsonObject object) {
        return new HfConfig(new JsonView(values.file(), "", object), PythonJson.config().dumps(object) + "\n");
    }

    /** Writes {@code folder/config.json}, whole or not at all. */
    public void write(Path folder) throws IOException {
        PendingFile.replace(folder.resolve(FILE), text);
    }

    /** Such as {@code config.json: llama}. */
    @Override
    public String toString() {
        return values.file() + ": " + values.object().get("model_type");
    }
}
