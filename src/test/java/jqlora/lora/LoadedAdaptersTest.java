package jqlora.lora;

import static jqlora.Assert.assertFails;
import static jqlora.SmallModel.assertLogits;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import jqlora.SmallModel;
import jqlora.format.JsonFileException;
import jqlora.format.JsonView;
import jqlora.format.PeftAdapterFiles;
import jqlora.format.PythonJson;
import jqlora.format.SafetensorsException;
import jqlora.format.SafetensorsFile;
import jqlora.format.SafetensorsWriter;
import jqlora.format.TensorSource;
import jqlora.model.CausalLm;
import jqlora.model.LoadOptions;
import jqlora.ops.cpu.CpuOps;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A file is judged by its tensors and by what its initialisation did to the base. */
class LoadedAdaptersTest {
    private static final String Q = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
    private static CpuOps ops;
    private static CausalLm model;

    @TempDir
    private Path folder;

    @BeforeAll
    static void open() throws IOException {
        ops = CpuOps.create();
        model = SmallModel.open(SmallModel.BASE, LoadOptions.asStored(), ops);
    }

    @AfterAll
    static void close() {
        model.close();
        assertEquals(0, ops.memory().bytesInUse(), "bytes in use after model and adapters are closed");
        ops.close();
    }

    /** Adapter a1 with other values in its configuration. */
    private Path changed(Map<String, Object> values) throws IOException {
        Path copy = SmallModel.copy(SmallModel.A1, folder.resolve("changed"));
        Map<String, Object> keys = new LinkedHashMap<>(JsonView.read(copy.resolve(PeftAdapterFiles.CONFIG)).toMap());
        keys.putAll(values);
        Files.writeString(copy.resolve(PeftAdapterFiles.CONFIG), PythonJson.config().dumps(keys));
        return copy;
    }

    /** {@code adapter} with further tensors. */
    private static void add(Path adapter, Map<String, TensorView> further) throws IOException {
        Path file = adapter.resolve(PeftAdapterFiles.WEIGHTS), old = adapter.resolve("old");
        Files.move(file, old);
        try (SafetensorsFile before = SafetensorsFile.open(old)) {
            Map<String, TensorView> all = new LinkedHashMap<>();
            for (String name : before.names()) {
                all.put(name, before.get(name));
            }
            all.putAll(further);
            List<TensorSource> sources = new ArrayList<>();
            all.forEach((name, tensor) -> sources.add(TensorSource.of(name, tensor)));
            SafetensorsWriter.write(file, sources, SafetensorsWriter.PT);
        }
        Files.delete(old);
    }

    @Test
    void anAdapterThatEvaBeganIsPlainLoraAndIsSavedAsWhatItWas() throws IOException {
        try (LoraAdapter adapter = SmallModel.load(model, SmallModel.EVA)) {
            assertLogits("eva", SmallModel.FIRST, model);
            adapter.save(folder.resolve("saved"), "base");
        }
        JsonView saved = JsonView.read(folder.resolve("saved").resolve(PeftAdapterFiles.CONFIG)), given = JsonView.read(SmallModel.EVA.resolve(PeftAdapterFiles.CONFIG));
        assertEquals("eva", saved.text("init_lora_weights"));
        assertEquals(given.toMap().get("eva_config"), saved.toMap().get("eva_config"));
        assertEquals(given.toMap().get("rank_pattern"), saved.toMap().get("rank_pattern"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"gaussian", "orthogonal", "mica"})
    void otherBeginningsAreKeptToo(String init) throws IOException {
        try (LoraAdapter adapter = SmallModel.load(model, changed(Map.of("init_lora_weights", init)))) {
            assertLogits(init, SmallModel.FIRST, model);
            adapter.save(folder.resolve("saved"), null);
        }
        assertEquals(init, JsonView.read(folder.resolve("saved").resolve(PeftAdapterFiles.CONFIG)).text("init_lora_weights"));
    }

    @Test
    void pissaIsRefused() {
        assertFails(JsonFileException.class, () -> SmallModel.load(model, SmallModel.PISSA), "pissa/adapter_config.json", "init_lora_weights is \"pissa\"", "would count twice");
        assertLogits("the base", SmallModel.PLAIN, model);
    }

    @Test
    void namesThatThisModelLacksDoNotMatterIfTheTensorsFit() throws IOException {
        Path more = changed(Map.of("target_modules", List.of("q_proj", "qkv_proj", "v_proj", "experts"), "eva_config", Map.of("rho", 2.0)));
        try (LoraAdapter adapter = SmallModel.load(model, more)) {
            assertLogits("more names", SmallModel.FIRST, model);
            assertFails(IllegalArgumentException.class, () -> TargetTable.of(model, adapter.config()), "\"qkv_proj\" matches no linear layer");
        }
        assertFails(SafetensorsException.class, () -> SmallModel.load(model, other("k_proj")), "k_proj.lora_A.weight", "is not there", "get the whole file");
        assertFails(IOException.class, () -> SmallModel.load(model, other2()), "does not fit the model", "matches no linear layer");
    }

    private Path other(String name) throws IOException {
        Path copy = SmallModel.copy(changed(Map.of("target_modules", List.of("q_proj", "v_proj", name))), folder.resolve("other"));
        return copy;
    }

    private Path other2() throws IOException {
        Path copy = SmallModel.copy(SmallModel.A1, folder.resolve("other2"));
        Files.writeString(copy.resolve(PeftAdapterFiles.CONFIG), Files.readString(copy.resolve(PeftAdapterFiles.CONFIG)).replace("q_proj", "query").replace("v_proj", "value"));
        return copy;
    }

    // ---- whole modules beside the adapter

    @Test
    void aSavedEmbeddingIsPassedOverOnlyIfItIsTheBases() throws IOException {
        TensorView embedding = ops.download(model.embedTokens().value());
        String head = "base_model.model.lm_head.weight", table = "base_model.model.model.embed_tokens.weight";
        Path same = changed(Map.of("modules_to_save", List.of("lm_head")));
        add(same, Map.of(head, embedding, table, embedding));
        SmallModel.load(model, same).close();
        float[] values = embedding.toFloats();
        values[17] += 1;
        add(same, Map.of(head, TensorView.ofFloats(values, embedding.shape().toArray())));
        assertFails(SafetensorsException.class, () -> SmallModel.load(model, same), "\"" + head + "\"", "differs from the base's model.embed_tokens.weight in 1 of 4144 numbers",
                "merge_and_unload()");
        add(same, Map.of(head, TensorView.ofFloats(new float[16], 1, 16)));
        assertFails(SafetensorsException.class, () -> SmallModel.load(model, same), "is F32 [1, 16], the base's model.embed_tokens.weight is F32 [259, 16]");
    }

    @Test
    void aModuleToSaveWithoutTensorsAndATensorOfNoModule() throws IOException {
        Path without = changed(Map.of("modules_to_save", List.of("lm_head")));
        assertFails(JsonFileException.class, () -> SmallModel.load(model, without), "modules_to_save is [\"lm_head\"]", "lm_head cannot be trained beside an adapter yet");
        Path more = SmallModel.copy(SmallModel.A1, folder.resolve("more"));
        add(more, Map.of("base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector", TensorView.ofFloats(new float[16], 16)));
        assertFails(SafetensorsException.class, () -> SmallModel.load(model, more), "lora_magnitude_vector", "belongs to no module");
    }

    // ---- numbers

    @Test
    void numbersThatAreNotFiniteAreRefusedOnLoadingAndSaving() throws IOException {
        float[] values = new float[64];
        values[3] = Float.NaN;
        values[40] = Float.NEGATIVE_INFINITY;
        Path broken = SmallModel.copy(SmallModel.A1, folder.resolve("broken"));
        add(broken, Map.of(Q, TensorView.ofFloats(values, 4, 16)));
        long before = ops.memory().bytesInUse();
        assertFails(SafetensorsException.class, () -> SmallModel.load(model, broken), "adapter_model.safetensors", "\"" + Q + "\"", "2 of its 64 numbers are NaN or infinite, the first, at 3, is NaN",
                "take an earlier checkpoint");
        assertEquals(before, ops.memory().bytesInUse(), "bytes in use after a load that failed");
        try (LoraAdapter adapter = SmallModel.load(model, SmallModel.A1); Tensor filled = ops.upload(TensorView.ofFloats(values, 4, 16))) {
            ops.copyInto(adapter.parameters().getFirst().value(), filled);
            assertFails(SafetensorsException.class, () -> adapter.save(folder.resolve("saved"), null), "\"" + Q + "\"", "2 of its 64 numbers", "Nothing was written");
            assertTrue(Files.notExists(folder.resolve("saved")));
        }
    }

    // ---- where it is saved, and for which base

    @Test
    void theBaseIsNamedAsOnTheHub() throws IOException {
        String commit = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567";
        Path snapshot = folder.resolve("models--org--tiny/snapshots").resolve(commit);
        SmallModel.copy(SmallModel.BASE, snapshot);
        try (CausalLm cached = SmallModel.open(snapshot, LoadOptions.defaults(), ops); LoraAdapter adapter = LoraAdapter.create(cached, LoraConfig.defaults().withR(2), 1)) {
            adapter.save(folder.resolve("adapter"), cached.name().text());
            JsonView config = JsonView.read(folder.resolve("adapter").resolve(PeftAdapterFiles.CONFIG));
            assertEquals("org/tiny", config.text("base_model_name_or_path"));
            assertEquals(commit, config.text("revision"));
            adapter.save(folder.resolve("named"), "another");
            config = JsonView.read(folder.resolve("named").resolve(PeftAdapterFiles.CONFIG));
            assertEquals("another", config.text("base_model_name_or_path"));
            assertTrue(!config.has("revision") && config.keys().contains("revision"), "null, as PEFT writes it");
        }
    }

    @Test
    void anAdapterIsNotSavedIntoAModelsFolder() throws IOException {
        Path base = SmallModel.copy(SmallModel.BASE, folder.resolve("base"));
        try (LoraAdapter adapter = SmallModel.load(model, SmallModel.A1)) {
            assertFails(IOException.class, () -> adapter.save(base, null), "base: holds a model (model.safetensors)", "Save the adapter to another folder, such as", "base-adapter");
            assertTrue(Files.notExists(base.resolve(PeftAdapterFiles.CONFIG)));
        }
    }
}
