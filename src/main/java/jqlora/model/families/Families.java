package jqlora.model.families;

import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import jqlora.format.HfConfig;
import jqlora.model.DecoderSpec;

/**
 * The families that the decoder computes, by their {@code model_type}: one file each in this package.
 *
 * @see <a href="https://github.com/huggingface/transformers/tree/v5.17.0/src/transformers/models">transformers 5.17.0, models</a>
 */
public final class Families {
    private static final Map<String, Family> BY_TYPE = new LinkedHashMap<>();

    static {
        BY_TYPE.put("llama", LlamaFamily::llama);
        BY_TYPE.put("mistral", LlamaFamily::mistral);
        BY_TYPE.put("qwen2", QwenFamily::qwen2);
        BY_TYPE.put("qwen3", QwenFamily::qwen3);
        BY_TYPE.put("ministral", LlamaFamily::ministral);
        BY_TYPE.put("smollm3", new SmolLm3Family());
        BY_TYPE.put("granite", new GraniteFamily());
        BY_TYPE.put("olmo2", OlmoFamily::olmo2);
        BY_TYPE.put("glm4", GlmFamily::glm4);
        BY_TYPE.put("cohere", new CohereFamily());
        BY_TYPE.put("nemotron", new NemotronFamily());
        BY_TYPE.put("starcoder2", new StarCoder2Family());
        BY_TYPE.put("gemma", GemmaFamily::gemma);
        BY_TYPE.put("gemma2", GemmaFamily::gemma2);
        BY_TYPE.put("gemma3_text", GemmaFamily::gemma3);
        BY_TYPE.put("stablelm", new StableLmFamily());
        BY_TYPE.put("phi", PhiFamily::phi);
        BY_TYPE.put("phi3", PhiFamily::phi3);
        BY_TYPE.put("gpt2", new Gpt2Family());
        BY_TYPE.put("gpt_neo", new GptNeoFamily());
        BY_TYPE.put("gpt_neox", new GptNeoXFamily());
        BY_TYPE.put("gptj", new GptJFamily());
        BY_TYPE.put("opt", new OptFamily());
        BY_TYPE.put("bloom", new BloomFamily());
        BY_TYPE.put("falcon", new FalconFamily());
        BY_TYPE.put("mpt", new MptFamily());
    }

    private Families() { }

    /** Values of {@code model_type} that can be loaded. */
    public static List<String> supported() {
        return List.copyOf(BY_TYPE.keySet());
    }

    /**
     * The decoder that {@code config} describes.
     *
     * @throws IOException if the family is not supported, or a value is missing or not as it must be
     */
    public static DecoderSpec read(HfConfig config) throws IOException {
        Family family = BY_TYPE.get(config.modelType());
        if (family == null) {
            throw config.values().fault("model_type", "one of " + String.join(", ", BY_TYPE.keySet()) + "; other families cannot be computed yet");
        }
        return family.read(new FamilyConfig(config));
    }
}
