package jqlora.format;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import java.util.zip.CRC32C;
import jqlora.Oracle;
import jqlora.Peers;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PeftAdapterFilesTest {
    private static final String KEY = "base_model.model.q_proj.lora_A.weight";

    @TempDir
    Path temp;

    @Test
    void adaptersAreRewrittenByteForByte() throws IOException {
        for (Path adapterCase : Oracle.list("lora", "*")) {
            Path folder = adapterCase.resolve("adapter");
            if (Files.isDirectory(folder)) {
                Path copy = temp.resolve(adapterCase.getFileName());
                copy(folder, copy);
                for (String file : List.of("adapter_config.json", "adapter_model.safetensors")) {
                    assertEquals(-1, Files.mismatch(folder.resolve(file), copy.resolve(file)), folder + " " + file);
                }
                assertEquals(2, names(copy).size());
            }
        }
    }

    private static void copy(Path folder, Path copy) throws IOException {
        try (PeftAdapterFiles adapter = PeftAdapterFiles.open(folder)) {
            List<TensorSource> sources = new ArrayList<>();
            for (String name : adapter.tensors().names()) {
                sources.add(TensorSource.of(name, adapter.tensors().get(name)));
            }
            PeftAdapterFiles.write(copy, adapter.config().toMap(), sources);
        }
    }

    private static List<String> names(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.map(file -> file.getFileName().toString()).sorted().toList();
        }
    }

    @Test
    void theRecordIsNeutral() throws IOException {
        try (PeftAdapterFiles adapter = PeftAdapterFiles.open(Oracle.path("lora/qv/adapter"))) {
            assertEquals("LORA", adapter.config().text("peft_type"));
            assertEquals(List.of("v_proj", "q_proj"), adapter.config().texts("target_modules"));
            assertEquals(8, adapter.tensors().names().size());
            assertEquals("adapter: LORA, 8 tensors", adapter.toString());
        }
    }

    @Test
    @Tag("peers")
    void peftLoadsWhatIsWritten() throws Exception {
        copy(Oracle.path("lora/qv/adapter"), temp.resolve("adapter"));
        PeftAdapterFiles.write(temp.resolve("defaults"), Map.of(), List.of(source(1)));
        String printed = Peers.run("format/peft_load.py", Oracle.path("families/llama"), temp.resolve("adapter"), temp.resolve("defaults/adapter_config.json"));
        assertTrue(printed.contains("loaded 8"), printed);
    }

    private static TensorSource source(float value) {
        return TensorSource.of(KEY, TensorView.ofFloats(new float[] {value}, 1, 1));
    }

    @Test
    void onlyLoraAdaptersGetLoraDefaults() throws IOException {
        PeftAdapterFiles.write(temp, Map.of("peft_type", "IA3", "b", 1), List.of(source(1)));
        assertEquals("{\n  \"b\": 1,\n  \"peft_type\": \"IA3\"\n}", Files.readString(temp.resolve("adapter_config.json")));
        PeftAdapterFiles.write(temp, Map.of("r", 16, "base_model_name_or_path", "模型"), List.of(source(1)));
        String text = Files.readString(temp.resolve("adapter_config.json"));
        assertTrue(text.contains("\"r\": 16,") && text.contains("\\u6a21\\u578b") && text.contains("\"lora_alpha\": 8,"), text);
        assertEquals(41, JsonView.read(temp.resolve("adapter_config.json")).keys().size());
    }

    @Test
    void aFailedSaveKeepsTheOldAdapter() throws IOException {
        PeftAdapterFiles.write(temp, Map.of("r", 1), List.of(source(1)));
        TensorSource broken = new TensorSource(KEY, DType.F32, Shape.of(1), sink -> { throw new IOException("disk full"); });
        assertFails(IOException.class, () -> PeftAdapterFiles.write(temp, Map.of("r", 2), List.of(broken)), "disk full");
        assertFails(SafetensorsException.class, () -> PeftAdapterFiles.write(temp, Map.of("r", 2), List.of()),
                "adapter_model.safetensors: would have no tensor, an adapter must have at least one");
        assertFails(SafetensorsException.class, () -> PeftAdapterFiles.write(temp, Map.of("r", 2),
                List.of(TensorSource.of("q_proj", TensorView.ofFloats(new float[] {1}, 1)))), "tensor \"q_proj\": an adapter's keys must begin with \"base_model.model.\"");
        assertFails(IllegalArgumentException.class, () -> PeftAdapterFiles.write(temp, Map.of("lora_alpha", Double.NaN), List.of(source(2))), "NaN");
        assertEquals(List.of("adapter_config.json", "adapter_model.safetensors"), names(temp));
        try (PeftAdapterFiles adapter = PeftAdapterFiles.open(temp)) {
            assertEquals(1, adapter.config().whole("r"));
            assertEquals(1f, adapter.tensors().get(KEY).toFloats()[0]);
        }
        PeftAdapterFiles.write(temp, Map.of("r", 1), List.of(source(2)));
        try (PeftAdapterFiles adapter = PeftAdapterFiles.open(temp)) {
            assertEquals(2f, adapter.tensors().get(KEY).toFloats()[0]);
        }
    }

    @Test
    void bytesThatChangeOnTheDiskAreNoticed() throws IOException {
        PeftAdapterFiles.write(temp, Map.of(), List.of(source(1)));
        assertFails(SafetensorsException.class, () -> PeftAdapterFiles.readBack(temp.resolve("adapter_model.safetensors"), List.of(source(1)),
                Map.of(KEY, new CRC32C())), "adapter_model.safetensors: tensor \"" + KEY + "\": reads back other bytes than were written");
    }

    @Test
    void halfFoldersAreRefused() throws IOException {
        refused("has neither adapter_config.json nor adapter_model.safetensors");
        PeftAdapterFiles.write(temp, Map.of(), List.of(source(1)));
        Path weights = temp.resolve("adapter_model.safetensors"), config = temp.resolve("adapter_config.json");
        Files.delete(config);
        refused("adapter_config.json: does not exist");
        Files.writeString(config, "{}");
        refused("adapter_config.json: peft_type is missing, it must be a string");
        Files.writeString(config, "{\"peft_type\":\"LORA\"}");
        SafetensorsWriter.write(weights, List.of(TensorSource.of("lora_A", TensorView.ofFloats(new float[] {1}, 1))), Map.of());
        refused("tensor \"lora_A\": an adapter's keys must begin with");
        Files.delete(weights);
        refused("adapter_model.safetensors: does not exist");
        Files.writeString(temp.resolve("adapter_model.bin"), "");
        refused("only as adapter_model.bin", "convert it to adapter_model.safetensors first");
    }

    private void refused(String... parts) {
        assertFails(IOException.class, () -> PeftAdapterFiles.open(temp), parts);
    }
}
