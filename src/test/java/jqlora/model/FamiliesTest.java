package jqlora.model;

import static jqlora.Assert.assertClose;
import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.stream.Stream;
import jqlora.model.families.Families;
import jqlora.ops.Calls;
import jqlora.Oracle;
import jqlora.PaddedBatch;
import jqlora.format.HfConfig;
import jqlora.format.JsonFileException;
import jqlora.format.SafetensorsFile;
import jqlora.ops.Activation;
import jqlora.ops.Matrix;
import jqlora.ops.Parameter;
import jqlora.ops.Sequences;
import jqlora.ops.cpu.CpuOps;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Every supported family against transformers: logits, loss, every gradient, a greedy continuation. */
class FamiliesTest {
    /** PyTorch's atol for float32; rtol is 1e-5, not 1.3e-6, since a gradient here is a sum of products of sums of products. */
    private static final double RTOL = 1e-5, ATOL = 1e-5;

    private static final Set<String> MIXTURES = Set.of("mixtral", "qwen2_moe", "qwen3_moe", "gpt_oss");

    private static CpuOps ops;

    @BeforeAll
    static void open() {
        ops = CpuOps.create();
    }

    @AfterAll
    static void close() {
        assertEquals(0, ops.memory().bytesInUse(), "bytes in use after all models are closed");
        ops.close();
    }

    /** Every folder with a case, of the first families and of the later ones; mixtures of experts are not computed. */
    static Stream<Path> families() throws IOException {
        List<Path> folders = new ArrayList<>(Oracle.list("families", "*"));
        folders.addAll(Oracle.list("families_more", "*"));
        return folders.stream().filter(folder -> folder.toFile().isDirectory() && !MIXTURES.contains(folder.getFileName().toString()));
    }

    /** Whether transformers 5 quantizes the family: Falcon's linear layers are of a class of their own there, and those it leaves as they are. */
    static boolean isInFourBitsElsewhere(Path folder) throws IOException {
        return !HfConfig.read(folder).modelType().equals("falcon");
    }

    @Test
    void everyRequiredFamilyHasACase() throws IOException {
        List<String> names = families().map(folder -> folder.getFileName().toString()).toList();
        assertTrue(names.containsAll(List.of("llama", "llama_tied", "llama3_rope", "llama_bias", "mistral", "qwen2", "qwen3", "gemma", "stablelm", "bloom", "falcon", "gemma2",
                "gpt2", "gpt_neo", "gpt_neox", "gpt_neox_seq", "gptj", "mpt", "opt", "opt350_style", "phi", "phi3")), "families with a case: " + names);
    }

    @ParameterizedTest
    @MethodSource("families")
    void logitsLossAndEveryGradient(Path folder) throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve("case.safetensors"));
                CausalLm model = ModelLoader.load(folder, LoadOptions.fullFineTuning(), ops, LoadListener.SILENT)) {
            PaddedBatch batch = PaddedBatch.of(file, "");
            try (Tensor logits = model.logits(batch.ids(), batch.sequences())) {
                assertClose("logits", ops.download(logits).toFloats(), batch.realRows(file.get("logits")), RTOL, ATOL);
            }
            int labelled = batch.tokens().labelledTokens();
            double expected = file.get("loss").toFloats()[0];
            assertClose("loss", model.loss(batch.tokens()) / labelled, expected, 2e-6, 0);
            try (Tensor sum = ops.zeros(DType.F64, 1)) {
                model.forwardBackward(batch.tokens(), 1.0 / labelled, sum, 0, ActivationBudget.keepAll());
                assertClose("loss of the training step", ops.download(sum).data().get(TensorView.DOUBLE, 0) / labelled, expected, 2e-6, 0);
            }
            int compared = 0;
            for (Parameter parameter : model.parameters()) {
                if (isTrimmed(folder, file, parameter)) {
                    continue;
                }
                assertClose(parameter.name(), ops.download(parameter.gradient()).toFloats(), expected(model, file, parameter), RTOL, ATOL);
                compared++;
            }
            assertEquals(file.names().stream().filter(name -> name.startsWith("grad.")).count(), compared, "gradients in the case");
        }
    }

    /** Cases of the later families are kept without the gradients of the second layer's matrices, to be small; the first layer's, which the second one's backward makes, are there. */
    static boolean isTrimmed(Path folder, SafetensorsFile file, Parameter parameter) {
        return folder.getParent().endsWith("families_more") && !file.names().contains("grad." + parameter.name()) && parameter.name().contains(".layers.1.")
                && parameter.value().shape().rank() == 2;
    }

    /** Of a weight that the checkpoint has transposed, so is the gradient; the output layer that GPT-NeoX's files call embed_out is lm_head in transformers. */
    static float[] expected(CausalLm model, SafetensorsFile file, Parameter parameter) throws IOException {
        TensorView gradient = file.get("grad." + parameter.name().replace("embed_out", "lm_head"));
        return (model.spec().isTransposed(parameter.name()) && gradient.shape().rank() == 2 ? StoredTensors.transposed(gradient) : gradient).toFloats();
    }

    @ParameterizedTest
    @MethodSource("families")
    void keptAndRecomputedActivationsGiveTheSameBits(Path folder) throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve("case.safetensors"))) {
            PaddedBatch batch = PaddedBatch.of(file, "");
            float[][] kept = gradients(folder, batch, ActivationBudget.keepAll());
            assertTrue(Arrays.deepEquals(kept, gradients(folder, batch, ActivationBudget.recomputeAll())), "all layers computed again");
            assertTrue(Arrays.deepEquals(kept, gradients(folder, batch, new ActivationBudget(90_000))), "one of two layers computed again");
        }
    }

    private static float[][] gradients(Path folder, PaddedBatch batch, ActivationBudget budget) throws IOException {
        try (CausalLm model = ModelLoader.load(folder, LoadOptions.fullFineTuning(), ops, LoadListener.SILENT); Tensor sum = ops.zeros(DType.F64, 1)) {
            model.forwardBackward(batch.tokens(), 0.25, sum, 0, budget);
            return model.parameters().stream().map(parameter -> ops.download(parameter.gradient()).toFloats()).toArray(float[][]::new);
        }
    }

    @ParameterizedTest
    @MethodSource("families")
    void packedSequencesGiveTheLogitsOfEachAlone(Path folder) throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve("case.safetensors"));
                CausalLm model = ModelLoader.load(folder, LoadOptions.asStored(), ops, LoadListener.SILENT)) {
            PaddedBatch batch = PaddedBatch.of(file, "");
            try (Tensor packed = model.logits(batch.ids(), batch.sequences())) {
                float[] all = ops.download(packed).toFloats();
                int vocab = model.spec().vocabSize();
                for (int i = 0; i < batch.sequences().count(); i++) {
                    int from = batch.sequences().start(i), to = batch.sequences().start(i + 1);
                    try (Tensor alone = model.logits(Arrays.copyOfRange(batch.ids(), from, to), Sequences.ofLengths(to - from))) {
                        assertArrayEquals(Arrays.copyOfRange(all, from * vocab, to * vocab), ops.download(alone).toFloats(), "sequence " + i);
                    }
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("families")
    void greedyContinuationThroughTheCache(Path folder) throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve("case.safetensors"));
                CausalLm model = ModelLoader.load(folder, LoadOptions.asStored(), ops, LoadListener.SILENT)) {
            int[] prompt = file.get("greedy_prompt").toInts(), expected = file.get("greedy_tokens").toInts();
            int[] tokens = Arrays.copyOf(prompt, expected.length);
            try (var cache = model.newCache(1, expected.length)) {
                int past = 0, fed = prompt.length;
                while (past + fed < expected.length) {
                    int[] fresh = Arrays.copyOfRange(tokens, past, past + fed);
                    float[] scores = model.decode(fresh, Sequences.continuing(new int[] {fed}, new int[] {past}), cache)[0];
                    past += fed;
                    fed = 1;
                    tokens[past] = argmax(scores);
                }
            }
            assertArrayEquals(expected, tokens);
        }
    }

    private static int argmax(float[] scores) {
        int best = 0;
        for (int i = 1; i < scores.length; i++) {
            best = scores[i] > scores[best] ? i : best;
        }
        return best;
    }

    // ---- what a config says

    private static HfConfig config(String family) throws IOException {
        return HfConfig.read(Oracle.path("families/" + family));
    }

    static Stream<Arguments> refused() {
        Map<String, Object> odd = Map.of("rope_type", "default", "partial_rotary_factor", 0.2);
        return Stream.of(Arguments.of("stablelm", "use_parallel_residual", true, "use_parallel_residual is true, it must be false"),
                Arguments.of("stablelm", "qk_layernorm", true, "qk_layernorm is true, it must be false"),
                Arguments.of("stablelm", "rope_parameters", odd, "rope_parameters.partial_rotary_factor is 0.2, it must be such that an even part of a head's 16 coordinates turns, not 3"),
                Arguments.of("stablelm", "num_attention_heads", 5, "num_attention_heads is 5, it must be a divisor of hidden_size, 64"),
                Arguments.of("gemma", "use_bidirectional_attention", true, "use_bidirectional_attention is true, it must be false"),
                Arguments.of("gemma", "hidden_activation", "gelu", "hidden_activation is \"gelu\", it must be null or as hidden_act, \"gelu_pytorch_tanh\""),
                Arguments.of("llama", "hidden_act", "quick_gelu", "hidden_act is \"quick_gelu\", it must be one of silu, swish, gelu, gelu_pytorch_tanh, gelu_new, gelu_fast, relu, relu2"),
                Arguments.of("llama", "partial_rotary_factor", 0.5, "partial_rotary_factor is 0.5, it must be 1 for this family"));
    }

    @ParameterizedTest
    @MethodSource("refused")
    void whatCannotBeComputedIsRefused(String family, String key, Object value, String message) throws IOException {
        HfConfig config = config(family).with(key, value);
        assertFails(JsonFileException.class, () -> Families.read(config), "config.json: " + message);
    }

    @Test
    void whatAConfigLeavesOutIsTheFamilysOwn() throws IOException {
        DecoderSpec gemma = Families.read(config("gemma").without("head_dim").without("tie_word_embeddings").without("hidden_act"));
        assertEquals(256, gemma.attention().headDim());
        assertEquals(new EmbeddingSpec("model.embed_tokens", 64, true, 8, null, null), gemma.embedding());
        assertEquals(Activation.GELU_TANH, gemma.mlp().activation());
        assertEquals(new NormSpec(NormSpec.Kind.RMS_FROM_ONE, 1e-6f), gemma.norm());
        DecoderSpec stablelm = Families.read(config("stablelm").without("rope_parameters").without("partial_rotary_factor").without("layer_norm_eps").with("use_qkv_bias", true));
        assertEquals(4, stablelm.attention().rope(0).rotaryDim());
        assertEquals(new NormSpec(NormSpec.Kind.LAYER, 1e-5f), stablelm.norm());
        assertTrue(stablelm.attention().qkv().projections().stream().allMatch(Projection::bias) && !stablelm.attention().output().bias(), stablelm.attention().toString());
        assertEquals(new EmbeddingSpec("model.embed_tokens", 64, false, 1, null, null), stablelm.embedding());
    }

    @ParameterizedTest
    @CsvSource({"silu, SILU", "swish, SILU", "gelu, GELU", "gelu_new, GELU_TANH", "gelu_pytorch_tanh, GELU_TANH"})
    void activationsHaveTheNamesOfTransformers(String name, Activation activation) throws IOException {
        assertEquals(activation, Families.read(config("llama").with("hidden_act", name)).mlp().activation());
    }

    /** Whatever the stored number means: the rows of an untrained model are normalised and nothing else. */
    @ParameterizedTest
    @ValueSource(strings = {"llama", "gemma", "stablelm"})
    void anUntrainedNormIsNeutral(String family) throws IOException {
        try (CausalLm model = ModelLoader.initialize(config(family), 1, ops); Tensor x = ops.upload(TensorView.ofFloats(Matrix.random(new Random(1), 1, 64).toFloats(), 1, 64));
                Tensor statistics = ops.allocate(DType.F32, model.norm().statistics(1).toArray()); Tensor y = Calls.norm(ops, x, model.norm(), statistics)) {
            double squares = 0;
            for (float value : ops.download(y).toFloats()) {
                squares += value * value;
            }
            assertClose("mean square", squares / 64, 1, 1e-4, 0);
        }
    }

    @Test
    void otherFamiliesAreRefusedByName() throws IOException {
        HfConfig config = config("llama").with("model_type", "rwkv");
        assertFails(JsonFileException.class, () -> Families.read(config), "config.json: model_type is \"rwkv\", it must be one of " + String.join(", ", Families.supported()));
    }
}
