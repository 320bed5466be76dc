package jqlora.format;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** No folder is written that another program would read as something else. */
class FolderUseTest {
    @TempDir
    private Path folder;

    @ParameterizedTest
    @ValueSource(strings = {"adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"})
    void aModelBesideAnAdapter(String name) throws IOException {
        Files.writeString(folder.resolve(name), "{}");
        assertFails(IOException.class, () -> FolderUse.requireForModel(folder), folder + ": holds an adapter (" + name + ")", "Save the model to another folder", "-merged");
        assertDoesNotThrow(() -> FolderUse.requireForAdapter(folder));
    }

    @ParameterizedTest
    @ValueSource(strings = {"pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json", "consolidated.00.pth", "consolidated.safetensors", "model-q4.gguf",
        "other.safetensors", "tf_model.h5"})
    void aModelBesideOtherWeights(String name) throws IOException {
        Files.writeString(folder.resolve(name), "");
        assertFails(IOException.class, () -> FolderUse.requireForModel(folder), "holds " + name, "move them away");
    }

    @ParameterizedTest
    @ValueSource(strings = {"model.safetensors", "model.safetensors.index.json", "model-00001-of-00002.safetensors", "pytorch_model.bin", "x.gguf"})
    void anAdapterBesideAModel(String name) throws IOException {
        Files.writeString(folder.resolve(name), "");
        assertFails(IOException.class, () -> FolderUse.requireForAdapter(folder), "holds a model (" + name + ")", "Save the adapter to another folder");
    }

    @Test
    void whatMayBeThere() throws IOException {
        assertDoesNotThrow(() -> FolderUse.requireForModel(folder.resolve("not there")));
        for (String name : new String[] {"config.json", "tokenizer.json", "model.safetensors", "model-00001-of-00002.safetensors", "model.safetensors.index.json", "README.md"}) {
            Files.writeString(folder.resolve(name), "");
        }
        assertDoesNotThrow(() -> FolderUse.requireForModel(folder), "an older save is replaced");
        Path file = Files.writeString(folder.resolve("file"), "");
        assertFails(IOException.class, () -> FolderUse.requireForModel(file), "is a file, it must be a folder");
    }

    @Test
    void aFolderThatCannotBeMade() throws IOException {
        Path file = Files.writeString(folder.resolve("file"), "");
        assertFails(IOException.class, () -> FolderUse.requireForAdapter(file.resolve("run")), file.resolve("run") + ": cannot be made, " + file + " is a file");
        assertDoesNotThrow(() -> FolderUse.requireForAdapter(Path.of("not-there/run")), "a relative one");
    }

    @Test
    void aFolderThatMayNotBeWritten() throws IOException {
        Path readOnly = Files.createDirectory(folder.resolve("read-only"));
        assumeTrue(readOnly.toFile().setWritable(false) && !Files.isWritable(readOnly), "this user may write everywhere");
        assertFails(IOException.class, () -> FolderUse.requireForAdapter(readOnly), readOnly + ": cannot be written");
        assertFails(IOException.class, () -> FolderUse.requireForModel(readOnly.resolve("run")), "cannot be written, " + readOnly + " is read-only");
    }
}
