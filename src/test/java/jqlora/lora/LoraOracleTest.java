package jqlora.lora;

import static jqlora.Assert.assertClose;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import jqlora.Oracle;
import jqlora.PaddedBatch;
import jqlora.format.JsonFileException;
import jqlora.format.JsonView;
import jqlora.format.PeftAdapterFiles;
import jqlora.format.SafetensorsFile;
import jqlora.model.ActivationBudget;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.ModelLoader;
import jqlora.ops.Parameter;
import jqlora.ops.cpu.CpuOps;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Adapters against PEFT: matched modules, logits, loss, gradients, saved files, merged weights. */
class LoraOracleTest {
    /** As for the families: float32 noise of two orders of summation. */
    private static final double RTOL = 1e-5, ATOL = 1e-5;
    private static final List<String> REQUIRED = List.of("qv", "q_only", "v_only", "all_linear", "regex", "layers", "rslora");

    private static CpuOps ops;

    @BeforeAll
    static void open() {
        ops = CpuOps.create();
    }

    @AfterAll
    static void close() {
        assertEquals(0, ops.memory().bytesInUse(), "bytes in use after all models and adapters are closed");
        ops.close();
    }

    static Stream<Path> cases() throws IOException {
        return folders(true);
    }

    static Stream<Path> others() throws IOException {
        return folders(false);
    }

    private static Stream<Path> folders(boolean computed) throws IOException {
        List<Path> folders = new ArrayList<>();
        for (Path folder : Oracle.list("lora", "*")) {
            if (Files.isDirectory(folder) && computed == isComputed(JsonView.read(folder.resolve("adapter/adapter_config.json")))) {
                folders.add(folder);
            }
        }
        return folders.stream();
    }

    /** Plain LoRA on linear layers; the other cases are refused, each with its reason. */
    private static boolean isComputed(JsonView config) throws JsonFileException {
        return !config.flag("use_dora") && !config.flag("lora_bias") && config.text("bias").equals("none") && !config.has("modules_to_save")
                && !config.object().get("target_modules").toString().contains("embed_tokens");
    }

    @Test
    void everyRequiredCaseIsThere() throws IOException {
        List<String> names = cases().map(folder -> folder.getFileName().toString()).toList();
        assertTrue(names.containsAll(REQUIRED), "cases: " + names);
    }

    private static CausalLm base(Path folder) throws IOException {
        return ModelLoader.load(folder.resolve("base"), LoadOptions.asStored(), ops, LoadListener.SILENT);
    }

    @ParameterizedTest
    @MethodSource("cases")
    void logitsLossAndAdapterGradients(Path folder) throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve("case.safetensors")); CausalLm model = base(folder);
                LoraAdapter adapter = LoraAdapter.load(model, folder.resolve("adapter"), true); Tensor sum = ops.zeros(DType.F64, 1)) {
            PaddedBatch batch = PaddedBatch.of(file, "");
            try (Tensor logits = model.logits(batch.ids(), batch.sequences())) {
                assertClose("logits", ops.download(logits).toFloats(), batch.realRows(file.get("logits")), RTOL, ATOL);
            }
            int labelled = batch.tokens().labelledTokens();
            assertClose("loss", model.loss(batch.tokens()) / labelled, file.get("loss").toFloats()[0], 2e-6, 0);
            model.forwardBackward(batch.tokens(), 1.0 / labelled, sum, 0, ActivationBudget.keepAll());
            for (Parameter parameter : adapter.parameters()) {
                String name = "grad." + parameter.name().replace(".weight", ".default.weight");
                assertClose(name, ops.download(parameter.gradient()).toFloats(), file.get(name).toFloats(), RTOL, ATOL);
            }
            assertEquals(file.names().stream().filter(name -> name.startsWith("grad.")).count(), adapter.parameters().size(), "gradients in the case");
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void configurationAdaptsTheModulesThatPeftAdapts(Path folder) throws IOException {
        JsonObject entry = Oracle.json(Oracle.path("lora/index.json")).getAsJsonObject(folder.getFileName().toString());
        try (CausalLm model = base(folder); LoraAdapter adapter = LoraAdapter.create(model, configOf(entry.getAsJsonObject("config")), 1)) {
            List<String> expected = new ArrayList<>();
            entry.getAsJsonArray("modules").forEach(name -> expected.add(name.getAsString().substring(PeftAdapterFiles.KEY_PREFIX.length())));
            assertEquals(expected, adapter.factors().keySet().stream().sorted().toList());
            assertEquals(entry.get("trainable").getAsLong(), adapter.parameterCount());
            assertEquals(entry.get("trainable").getAsLong(), TargetTable.of(model, adapter.config()).parameters());
        }
    }

    /** The keyword arguments of PEFT's LoraConfig as ours. */
    private static LoraConfig configOf(JsonObject arguments) {
        LoraConfig config = new LoraConfig(arguments.get("r").getAsInt(), arguments.get("lora_alpha").getAsDouble(), 0f,
                arguments.has("use_rslora") && arguments.get("use_rslora").getAsBoolean(), targets(arguments.get("target_modules")), TargetLimits.none(), RankPatterns.none());
        TargetLimits limits = TargetLimits.none();
        if (arguments.has("layers_to_transform")) {
            limits = limits.withLayersToTransform(arguments.getAsJsonArray("layers_to_transform").asList().stream().map(JsonElement::getAsInt).toList());
        }
        if (arguments.has("exclude_modules")) {
            limits = limits.withExcludeModules(targets(arguments.get("exclude_modules")));
        }
        Map<String, Integer> ranks = new LinkedHashMap<>();
        Map<String, Double> alphas = new LinkedHashMap<>();
        if (arguments.has("rank_pattern")) {
            arguments.getAsJsonObject("rank_pattern").entrySet().forEach(entry -> ranks.put(entry.getKey(), entry.getValue().getAsInt()));
        }
        if (arguments.has("alpha_pattern")) {
            arguments.getAsJsonObject("alpha_pattern").entrySet().forEach(entry -> alphas.put(entry.getKey(), entry.getValue().getAsDouble()));
        }
        return config.withLimits(limits).withPatterns(new RankPatterns(ranks, alphas));
    }

    private static TargetModules targets(JsonElement json) {
        return json instanceof JsonArray names ? TargetModules.names(names.asList().stream().map(JsonElement::getAsString).toArray(String[]::new))
                : TargetModules.ofText(json.getAsString());
    }

    @ParameterizedTest
    @MethodSource("cases")
    void savedAdapterHasTheSameTensorsAndConfiguration(Path folder, @TempDir Path target) throws IOException {
        try (CausalLm model = base(folder); LoraAdapter adapter = LoraAdapter.load(model, folder.resolve("adapter"), false)) {
            adapter.save(target, null);
        }
        // the safetensors file is the very same; the configuration differs in the order of a Python set at most
        assertArrayEquals(Files.readAllBytes(folder.resolve("adapter/adapter_model.safetensors")), Files.readAllBytes(target.resolve("adapter_model.safetensors")));
        assertEquals(sortedTargets(folder.resolve("adapter/adapter_config.json")), sortedTargets(target.resolve("adapter_config.json")));
    }

    private static JsonObject sortedTargets(Path file) {
        JsonObject config = Oracle.json(file);
        if (config.get("target_modules") instanceof JsonArray names) {
            JsonArray sorted = new JsonArray();
            names.asList().stream().map(JsonElement::getAsString).sorted().forEach(sorted::add);
            config.add("target_modules", sorted);
        }
        if (config.get("exclude_modules") instanceof JsonArray names) {
            JsonArray sorted = new JsonArray();
            names.asList().stream().map(JsonElement::getAsString).sorted().forEach(sorted::add);
            config.add("exclude_modules", sorted);
        }
        return config;
    }

    @ParameterizedTest
    @MethodSource("cases")
    void mergedWeightsAndLogitsAndExactUnmerge(Path folder) throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve("case.safetensors")); CausalLm model = base(folder);
                SafetensorsFile base = SafetensorsFile.open(folder.resolve("base/model.safetensors"));
                LoraAdapter adapter = LoraAdapter.load(model, folder.resolve("adapter"), false)) {
            PaddedBatch batch = PaddedBatch.of(file, "");
            float[] before = logits(model, batch);
            try (Merger.Merged merged = Merger.withoutOriginal().merge(adapter, MergeRoute.ONTO_BASE)) {
                List<String> changed = file.names().stream().filter(name -> name.startsWith("merged.")).map(name -> name.substring("merged.".length())).toList();
                assertEquals(adapter.factors().keySet().stream().map(module -> module + ".weight").sorted().toList(), changed.stream().sorted().toList());
                for (Parameter parameter : model.parameters()) {
                    float[] weight = ops.download(parameter.value()).toFloats();
                    if (changed.contains(parameter.name())) {
                        assertClose(parameter.name(), weight, file.get("merged." + parameter.name()).toFloats(), 1.3e-6, 1e-7);
                    } else {
                        assertArrayEquals(base.get(parameter.name()).toFloats(), weight, parameter.name() + ", which is not adapted");
                    }
                }
                assertClose("merged logits", logits(model, batch), batch.realRows(file.get("merged_logits")), RTOL, ATOL);
                merged.unmerge();
                assertArrayEquals(before, logits(model, batch), "logits after the merge is undone");
            }
        }
    }

    private static float[] logits(CausalLm model, PaddedBatch batch) {
        try (Tensor logits = model.logits(batch.ids(), batch.sequences())) {
            return ops.download(logits).toFloats();
        }
    }

    @ParameterizedTest
    @MethodSource("others")
    void whatCannotBeComputedIsRefusedByKey(Path folder) throws IOException {
        try (CausalLm model = base(Oracle.path("lora/qv"))) {
            IOException refused = assertThrows(IOException.class, () -> LoraAdapter.load(model, folder.resolve("adapter"), false));
            assertTrue(Stream.of("use_dora", "modules_to_save", "bias", "lora_bias", "embed_tokens").anyMatch(refused.getMessage()::contains), refused.getMessage());
        }
    }
}
