package jqlora.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import java.io.IOException;
import java.util.List;
import jqlora.Oracle;
import jqlora.format.HfConfig;
import jqlora.model.families.Families;
import jqlora.ops.Activation;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What the config.json of well-known models says, with the fields that they were published with: keys of several ages, values left out, odd sizes of heads. */
class PublishedConfigsTest {
    private static final JsonObject CONFIGS = Oracle.json(Oracle.fixture("published/configs.json"));

    private static DecoderSpec spec(String name) throws IOException {
        return Families.read(HfConfig.parse(name + "/config.json", CONFIGS.getAsJsonObject(name).toString()));
    }

    /** Layers, heads, key heads, size of a head, how much of it turns (0 for none), inner size of the MLP, whether the output layer is the embedding. */
    @ParameterizedTest
    @CsvSource({"gpt2, 12, 12, 12, 64, 0, 3072, true", "pythia-160m, 12, 12, 12, 64, 16, 3072, false", "gpt-j-6b, 28, 16, 16, 256, 64, 16384, false",
        "gpt-neo-125m, 12, 12, 12, 64, 0, 3072, true", "opt-125m, 12, 12, 12, 64, 0, 3072, true", "opt-350m, 24, 16, 16, 64, 0, 4096, true", "bloom-560m, 24, 16, 16, 64, 0, 4096, true",
        "falcon-7b, 32, 71, 1, 64, 64, 18176, true", "falcon-40b, 60, 128, 8, 64, 64, 32768, true", "mpt-7b, 32, 32, 32, 128, 0, 16384, true", "phi-2, 32, 32, 32, 80, 32, 10240, false",
        "phi-3-mini-4k, 32, 32, 32, 96, 96, 8192, false", "gemma-2b, 18, 8, 1, 256, 256, 16384, true", "gemma-2-2b, 26, 8, 4, 256, 256, 9216, true",
        "gemma-3-1b, 26, 4, 1, 256, 256, 6912, true", "stablelm-3b-4e1t, 32, 32, 32, 80, 20, 6912, false", "granite-3.0-2b, 40, 32, 8, 64, 64, 8192, true",
        "smollm3-3b, 36, 16, 4, 128, 128, 11008, true", "olmo-2-7b, 32, 32, 32, 128, 128, 11008, false", "starcoder2-3b, 30, 24, 2, 128, 128, 12288, true"})
    void sizes(String name, int layers, int heads, int kvHeads, int headDim, int rotaryDim, int intermediate, boolean tied) throws IOException {
        DecoderSpec spec = spec(name);
        RopeSpec rope = spec.attention().rope(0);
        assertEquals(List.of(layers, heads, kvHeads, headDim, rotaryDim, intermediate, tied), List.of(spec.numHiddenLayers(), spec.attention().numAttentionHeads(),
                spec.attention().numKeyValueHeads(), spec.attention().headDim(), rope == null ? 0 : rope.rotaryDim(), spec.mlp().intermediateSize(), spec.tieWordEmbeddings()));
    }

    @Test
    void everyModelIsRead() throws IOException {
        for (String name : CONFIGS.keySet()) {
            assertTrue(spec(name).vocabSize() > 1000, name);
        }
    }

    @Test
    void windowsAndRotationsByLayer() throws IOException {
        assertEquals(List.of(0, 256, 0, 256), spec("gpt-neo-125m").attention().slidingWindows().subList(0, 4));
        assertEquals(List.of(4096, 0, 4096, 0), spec("gemma-2-2b").attention().slidingWindows().subList(0, 4));
        AttentionSpec gemma3 = spec("gemma-3-1b").attention();
        assertEquals(List.of(512, 512, 512, 512, 512, 0, 512), gemma3.slidingWindows().subList(0, 7));
        assertEquals(10_000, gemma3.rope(0).theta());
        assertEquals(1_000_000, gemma3.rope(5).theta());
        AttentionSpec smollm3 = spec("smollm3-3b").attention();
        assertEquals(5_000_000, smollm3.rope(2).theta());
        assertNull(smollm3.rope(3));
        assertEquals(2047, spec("phi-3-mini-4k").attention().slidingWindows().getFirst());
    }

    @Test
    void factorsCapsAndActivations() throws IOException {
        DecoderSpec gemma2 = spec("gemma-2-2b"), granite = spec("granite-3.0-2b");
        assertEquals(50f, gemma2.attention().softCap());
        assertEquals(30f, gemma2.output().softCap());
        assertEquals(0.0625f, gemma2.attention().scale());
        assertEquals(0f, spec("gemma-3-1b").output().softCap());
        assertEquals(List.of(12f, 0.015625f, 0.22f, 0.125f), List.of(granite.embedding().scale(), granite.attention().scale(), granite.layer().branchScale(), granite.output().scale()));
        assertEquals(1f, spec("gpt-neo-125m").attention().scale());
        assertEquals(Activation.GELU, spec("gemma-2b").mlp().activation());
        assertEquals(Activation.RELU, spec("opt-125m").mlp().activation());
    }

    @Test
    void whereNormsAndResidualsStand() throws IOException {
        assertEquals(new BranchNorms(null, null, "self_attn_layer_norm"), spec("opt-350m").attention().norms());
        assertEquals(512, spec("opt-350m").embedding().width());
        assertNull(spec("opt-350m").output().norm());
        assertEquals(Residual.PARALLEL, spec("falcon-40b").layer().residual());
        assertEquals("ln_mlp", spec("falcon-40b").mlp().norms().before());
        assertEquals("input_layernorm", spec("falcon-7b").mlp().norms().before());
        assertEquals(new BranchNorms(null, "post_attention_layernorm", null), spec("olmo-2-7b").attention().norms());
        assertTrue(spec("gpt2").transposed());
    }
}
