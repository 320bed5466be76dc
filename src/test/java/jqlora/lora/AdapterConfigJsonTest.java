package jqlora.lora;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import jqlora.format.JsonFileException;
import jqlora.format.JsonView;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class AdapterConfigJsonTest {
    private static final String VALID = "{\"peft_type\": \"LORA\", \"r\": 8, \"lora_alpha\": 16, \"target_modules\": [\"q_proj\"]}";

    private static JsonObject valid() {
        return JsonParser.parseString(VALID).getAsJsonObject();
    }

    private static LoraConfig read(JsonObject json) throws IOException {
        return AdapterConfigJson.read(JsonView.parse("adapter_config.json", json.toString()));
    }

    /** The message names file, key and value. */
    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "peft_type|\"LOHA\"|\"LORA\"", "peft_type|null|a string", "r|0|a positive integer", "r|-8|a positive integer", "r|1.5|a positive integer", "r|\"8\"|a positive integer",
            "r|null|a positive integer", "lora_alpha|\"16\"|a number", "lora_alpha|null|a number", "lora_dropout|\"0.1\"|a number", "use_rslora|1|true or false",
            "target_modules|null|a list of names, a regular expression or \"all-linear\"", "target_modules|7|a string", "target_modules|[7]|a string", "exclude_modules|[7]|a string",
            "layers_to_transform|1.5|an integer", "layers_to_transform|[0,1.5]|an integer", "layers_to_transform|[\"0\"]|an integer", "layers_to_transform|[-1]|a layer's number",
            "layers_to_transform|3000000000|a layer's number", "layers_to_transform|[3000000000]|a layer's number", "layers_pattern|7|a string",
            "rank_pattern|[\"q_proj\"]|an object", "rank_pattern|{\"q_proj\":0}|a positive integer", "alpha_pattern|{\"q_proj\":\"16\"}|a number", "bias|\"some\"|\"none\"", "bias|true|a string"})
    void everyWrongValueIsNamed(String key, String value, String must) {
        JsonObject json = valid();
        json.add(key, JsonParser.parseString(value));
        assertFails(JsonFileException.class, () -> read(json), "adapter_config.json: " + key, must);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {"r|0|r is 0", "lora_alpha|-16|loraAlpha must be positive, got -16.0", "lora_dropout|1|loraDropout must be in [0, 1), got 1.0",
            "target_modules|[]|targetModules is empty", "target_modules|\".*(q_proj\"|.*(q_proj", "exclude_modules|\"all-linear\"|excludeModules is \"all-linear\""})
    void everyRefusalNamesTheFile(String key, String value, String message) {
        JsonObject json = valid();
        json.add(key, JsonParser.parseString(value));
        assertFails(JsonFileException.class, () -> read(json), "adapter_config.json: ", message);
    }

    /** What would silently be another adapter if it were passed over; and any key that is not known, in case it says something. */
    @ParameterizedTest
    @ValueSource(strings = {"use_dora", "lora_bias", "use_qalora", "a_key_of_next_year"})
    void partsOfPeftThatCannotBeComputed(String key) throws IOException {
        JsonObject json = valid();
        json.addProperty(key, true);
        assertFails(JsonFileException.class, () -> read(json), "adapter_config.json: " + key + " is true, it must be absent, null, false or empty");
        json.addProperty(key, false);
        assertEquals(read(valid()), read(json), key + " that is false");
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {"layer_replication|[[0,2]]", "trainable_token_indices|[1]", "target_parameters|[\"x\"]", "use_bdlora|{\"nblocks\":2}", "kasa_config|{\"beta\":1}", "arrow_config|{\"top_k\":3}", "monteclora_config|{\"num_samples\":2}", "alora_invocation_tokens|[5]"})
    void listsAndObjectsThatCannotBeComputed(String key, String value) {
        JsonObject json = valid();
        json.add(key, JsonParser.parseString(value));
        assertFails(JsonFileException.class, () -> read(json), "adapter_config.json: " + key + " is " + value);
    }

    /** Keys that count only where an adapter is made or trained, and what PEFT itself passes over for linear layers. */
    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {"eva_config|{\"rho\":2.0}", "loftq_config|{\"loftq_bits\":4}", "corda_config|{\"verbose\":false}", "lora_ga_config|{\"stable_gamma\":16}",
            "runtime_config|{\"ephemeral_gpu_offload\":false}", "velora_config|{\"num_groups\":2}", "fan_in_fan_out|true", "ensure_weight_tying|true", "bias|\"all\"", "revision|\"main\""})
    void keysThatDoNotMatterToTrainedNumbers(String key, String value) throws IOException {
        JsonObject json = valid();
        json.add(key, JsonParser.parseString(value));
        assertEquals(read(valid()), read(json), key);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {"\"pissa\"|PiSSA", "\"pissa_niter_16\"|PiSSA", "\"olora\"|OLoRA", "\"OLoRA\"|OLoRA", "\"corda\"|CorDA", "\"lora_ga\"|LoRA-GA"})
    void initialisationsThatChangedTheBase(String value, String method) {
        JsonObject json = valid();
        json.add("init_lora_weights", JsonParser.parseString(value));
        assertFails(JsonFileException.class, () -> init(json, false), "adapter_config.json: init_lora_weights is " + value, method + " moved a part of the base's weights",
                "would count twice", "path_initial_model_for_weight_conversion");
    }

    @Test
    void loftqMicaAndUnknownInitialisations() throws IOException {
        JsonObject json = valid();
        json.addProperty("init_lora_weights", "loftq");
        assertFails(JsonFileException.class, () -> init(json, false), "LoftQ moved", "Save the base that LoftQ quantized");
        json.addProperty("init_lora_weights", "next_year");
        assertFails(JsonFileException.class, () -> init(json, false), "init_lora_weights is \"next_year\"", "gaussian, eva, orthogonal, mica");
        json.addProperty("init_lora_weights", "mica");
        assertFails(JsonFileException.class, () -> init(json, true), "MiCA trains A alone");
        assertEquals("mica", init(json, false).initLoraWeights());
        json.addProperty("init_lora_weights", 7);
        assertFails(JsonFileException.class, () -> init(json, false), "init_lora_weights is 7, it must be a string");
    }

    private static AdapterInit init(JsonObject json, boolean trained) throws IOException {
        return AdapterInit.read(JsonView.parse("adapter_config.json", json.toString()), trained);
    }

    @Test
    void defaultsOfMissingKeys() throws IOException {
        assertEquals(new LoraConfig(8, 16, 0, false, TargetModules.names("q_proj"), TargetLimits.none(), RankPatterns.none()), read(valid()));
    }

    /** Written and read again, every part of a configuration is the same, the order of names and patterns too. */
    @Test
    void writtenAndReadAgain() throws IOException {
        Map<String, Integer> ranks = new LinkedHashMap<>(Map.of("v_proj", 2));
        ranks.put("q_proj", 3);
        LoraConfig full = new LoraConfig(7, 2.5, 0.05f, true, TargetModules.names("v_proj", "q_proj"),
                new TargetLimits(TargetModules.ofText(".*up.*"), List.of(0, 5), List.of("layers", "h")), new RankPatterns(ranks, Map.of("q_proj", 0.5)));
        for (LoraConfig config : List.of(full, LoraConfig.defaults(), full.withTargetModules(TargetModules.ofText(".*(q|v)_proj")).withLimits(TargetLimits.none()),
                full.withLimits(TargetLimits.none().withExcludeModules(TargetModules.names("up_proj"))))) {
            Map<String, Object> keys = AdapterConfigJson.write(config, "base");
            keys.put("peft_type", "LORA");
            assertEquals(config, AdapterConfigJson.read(JsonView.of("adapter_config.json", keys)));
        }
        assertEquals(0.05, AdapterConfigJson.write(full, null).get("lora_dropout"), "the decimal that was meant");
        assertEquals(64L, AdapterConfigJson.write(full.withLoraAlpha(64), null).get("lora_alpha"), "a whole alpha as Python's int");
    }
}
