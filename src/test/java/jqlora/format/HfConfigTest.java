package jqlora.format;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonNull;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import jqlora.Oracle;
import jqlora.quant.FourBitType;
import jqlora.tensor.DType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class HfConfigTest {
    @TempDir
    Path temp;

    @Test
    void everyFamilysConfigIsReadAndWrittenBack() throws IOException {
        for (Path folder : Oracle.list("families", "*")) {
            if (!Files.isDirectory(folder)) {
                continue;
            }
            HfConfig config = HfConfig.read(folder);
            assertEquals(Optional.of(DType.F32), config.dtype());
            assertTrue(config.rope(10000, 1).ropeTheta() >= 10000);
            assertEquals(Optional.empty(), config.quantization());
            config.write(temp);
            assertEquals(-1, Files.mismatch(folder.resolve("config.json"), temp.resolve("config.json")), folder.toString());
            String rewritten = config.with("use_cache", config.values().flag("use_cache")).text();
            assertEquals(config.text(), rewritten, "the form of transformers: " + folder);
        }
    }

    @Test
    void aQuantizedModelsConfigIsTransformers() throws IOException {
        Path folder = Oracle.fixture("format/bnb_checkpoint");
        HfConfig before = HfConfig.parse("config.json", Files.readString(folder.resolve("config_before.json")));
        HfConfig after = HfConfig.read(folder);
        BitsAndBytesConfig quantization = BitsAndBytesConfig.defaults().withQuantType(FourBitType.NF4).withDoubleQuantization(true)
                .withComputeDtype(DType.BF16);
        assertEquals(Optional.of(quantization), after.quantization());
        assertEquals(after.text(), before.withQuantization(quantization).text());
        assertEquals(before.text(), after.withoutQuantization().text());
        BitsAndBytesConfig skipping = quantization.withSkipModules(List.of("lm_head", "q_proj"));
        assertEquals(Optional.of(skipping), after.withQuantization(skipping).quantization());
    }

    @Test
    void theOlderFormMeansTheSame() throws IOException {
        HfConfig old = HfConfig.parse("config.json", """
                {"model_type":"llama","torch_dtype":"bfloat16","rope_theta":500000,"max_position_embeddings":131072,
                 "rope_scaling":{"type":"llama3","factor":8.0,"low_freq_factor":1.0}}""");
        assertEquals("llama", old.modelType());
        assertEquals(Optional.of(DType.BF16), old.dtype());
        RopeParameters rope = old.rope(10000, 1);
        assertEquals("llama3", rope.ropeType());
        assertEquals(500000, rope.ropeTheta());
        assertEquals(1, rope.partialRotaryFactor());
        assertEquals(131072, rope.originalMaxPositionEmbeddings());
        assertEquals(8, rope.values().number("factor"));
        assertEquals("{\n  \"dtype\": \"float16\",\n  \"model_type\": \"m\"\n}\n",
                HfConfig.parse("c", "{\"model_type\":\"m\",\"torch_dtype\":\"torch.float32\"}").withDtype(DType.F16).text());
        RopeParameters neox = HfConfig.parse("c", "{\"rotary_emb_base\":20000,\"rotary_pct\":0.5,\"rope_scaling\":null}").rope(10000, 0.25);
        assertEquals(20000, neox.ropeTheta());
        assertEquals(0.5, neox.partialRotaryFactor());
        assertEquals("default", neox.ropeType());
        assertEquals(0, neox.originalMaxPositionEmbeddings());
        RopeParameters none = HfConfig.parse("c", "{\"rope_scaling\":{}}").rope(1e6, 0.25);
        assertEquals(1e6, none.ropeTheta());
        assertEquals(0.25, none.partialRotaryFactor());
        assertEquals(Optional.empty(), HfConfig.parse("c", "{}").dtype());
        assertEquals(4096, HfConfig.parse("c", "{\"original_max_position_embeddings\":4096,\"max_position_embeddings\":9,"
                + "\"rope_parameters\":{\"original_max_position_embeddings\":5}}").rope(1, 1).originalMaxPositionEmbeddings());
    }

    @Test
    void unknownKeysAndOddNumbersAreKept() throws IOException {
        String text = "{\n  \"a\": 1e-05,\n  \"z\": [\n    1000000000000000019884624838656\n  ]\n}\n";
        assertEquals(text, HfConfig.parse("c", "{\"z\":[1000000000000000019884624838656],\"b\":0,\"a\":0.00001}").without("b").text());
        assertEquals(JsonNull.INSTANCE, HfConfig.parse("c", "{\"p\":null}").with("q", 1).values().object().get("p"));
    }

    @Test
    void errorsNameTheValue() throws IOException {
        fails("{\"hidden_size\":\"x\"}", config -> config.values().positive("hidden_size"), "config.json: hidden_size is \"x\", it must be a positive integer");
        fails("{}", HfConfig::modelType, "config.json: model_type is missing, it must be a string");
        fails("{\"dtype\":\"int3\"}", HfConfig::dtype, "config.json: dtype is \"int3\", it must be one of float32");
        fails("{\"torch_dtype\":1}", HfConfig::dtype, "config.json: torch_dtype is 1, it must be a string");
        fails("{\"rope_parameters\":{\"full_attention\":{\"rope_theta\":1}}}", config -> config.rope(1, 1),
                "rope_parameters.full_attention is {\"rope_theta\":1}, it must be a value for all layers");
        fails("{\"rope_theta\":0}", config -> config.rope(1, 1), "config.json: rope_theta is 0, it must be positive");
        fails("{\"rotary_pct\":2}", config -> config.rope(1, 1), "config.json: rotary_pct is 2, it must be above 0 and at most 1");
        fails("{\"rotary_emb_base\":-1}", config -> config.rope(1, 1), "config.json: rotary_emb_base is -1, it must be positive");
        fails("{\"rope_parameters\":{\"rope_theta\":0}}", config -> config.rope(1, 1), "config.json: rope_parameters.rope_theta is 0, it must be positive");
        fails("{\"rope_scaling\":{\"type\":7}}", config -> config.rope(1, 1), "config.json: rope_scaling.type is 7, it must be a string");
        fails("{\"rope_scaling\":{\"factor\":\"y\"}}", config -> config.rope(1, 1).values().number("factor"), "rope_scaling.factor is \"y\", it must be a number");
        quantizationFails("\"quant_method\":\"gptq\"", "quantization_config.quant_method is \"gptq\", it must be \"bitsandbytes\"");
        quantizationFails("\"_load_in_8bit\":true", "quantization_config._load_in_8bit is true, it must be false; 8-bit weights are not read yet");
        quantizationFails("\"load_in_8bit\":true", "quantization_config.load_in_8bit is true, it must be false; 8-bit weights are not read yet");
        quantizationFails("\"load_in_4bit\":false", "quantization_config.load_in_4bit is false, it must be true");
        quantizationFails("\"load_in_4bit\":true,\"bnb_4bit_quant_type\":\"nf5\"", "bnb_4bit_quant_type is \"nf5\", it must be \"nf4\" or \"fp4\"");
        quantizationFails("\"load_in_4bit\":true,\"bnb_4bit_compute_dtype\":\"int8\"", "bnb_4bit_compute_dtype is \"int8\", it must be float32, float16 or bfloat16");
        assertFails(IllegalArgumentException.class, () -> BitsAndBytesConfig.defaults().withComputeDtype(DType.U8), "computeDtype is U8");
        assertFails(JsonFileException.class, () -> HfConfig.read(temp), "config.json: does not exist");
    }

    /** The type of positions is read from the key of its age, and a message about it names that key. */
    @Test
    void ropeTypeUnderItsOldKey() throws IOException {
        for (String[] given : new String[][] {{"\"type\":\"dynamic\"", "type"}, {"\"rope_type\":\"dynamic\"", "rope_type"}, {"\"rope_type\":\"dynamic\",\"type\":\"linear\"", "rope_type"},
                {"\"rope_type\":null,\"type\":\"dynamic\"", "type"}}) {
            RopeParameters rope = HfConfig.parse("config.json", "{\"rope_scaling\":{" + given[0] + ",\"factor\":2.0}}").rope(1, 1);
            assertEquals("dynamic", rope.ropeType());
            assertEquals("config.json: rope_scaling." + given[1] + " is \"dynamic\", it must be linear", rope.typeFault("linear").getMessage());
        }
        assertEquals("default", HfConfig.parse("c", "{\"rope_scaling\":{\"rope_theta\":5}}").rope(1, 1).ropeType());
        assertEquals("c: partial_rotary_factor is 0.5, it must be 1", HfConfig.parse("c", "{\"partial_rotary_factor\":0.5}").rope(1, 1)
                .partialFault(JsonView.parse("c", "{\"partial_rotary_factor\":0.5}"), "1").getMessage());
    }

    private interface Read {
        Object from(HfConfig config) throws IOException;
    }

    private static void quantizationFails(String keys, String... parts) throws IOException {
        fails("{\"quantization_config\":{" + keys + "}}", HfConfig::quantization, parts);
    }

    private static void fails(String json, Read read, String... parts) throws IOException {
        HfConfig config = HfConfig.parse("config.json", json);
        assertFails(JsonFileException.class, () -> read.from(config), parts);
    }
}
