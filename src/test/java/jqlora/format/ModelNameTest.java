package jqlora.format;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ModelNameTest {
    private static final String COMMIT = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567";

    @TempDir
    private Path folder;

    private ModelName of(String path, String nameOrPath) throws IOException {
        Path model = Files.createDirectories(folder.resolve(path));
        Files.writeString(model.resolve(HfConfig.FILE), "{\"_name_or_path\": " + nameOrPath + "}");
        return ModelName.of(model);
    }

    @Test
    void snapshotThenConfigThenThePathAsGiven() throws IOException {
        assertEquals(new ModelName("org/tiny", COMMIT), of("models--org--tiny/snapshots/" + COMMIT, "null"));
        assertEquals(new ModelName("org/tiny", COMMIT), of("hub/models--org--tiny/snapshots/" + COMMIT, "\"other/name\""));
        assertEquals(new ModelName("gpt2", COMMIT), of("models--gpt2/snapshots/" + COMMIT, "null"));
        assertEquals(new ModelName("org/some-name_1.5", COMMIT), of("models--org--some-name_1.5/snapshots/" + COMMIT, "\"\""));
        assertEquals(new ModelName("org/tiny", null), of("elsewhere", "\"org/tiny\""));
        assertEquals(new ModelName(folder.resolve("here").toString(), null), of("here", "null"));
        for (String path : new String[] {"\"/fsx/checkpoints/tiny\"", "\"./tiny\"", "\"tiny\"", "\"a/b/c\"", "\"\""}) {
            assertEquals(new ModelName(folder.resolve("here").toString(), null), of("here", path), path);
        }
        assertEquals(new ModelName(folder.resolve("models--org--tiny/snapshots/main").toString(), null), of("models--org--tiny/snapshots/main", "null"));
        assertEquals(new ModelName("nowhere/at/all", null), ModelName.of(Path.of("nowhere/at/all")));
    }

    @Test
    void aLinkIntoTheCache() throws IOException {
        of("models--org--tiny/snapshots/" + COMMIT, "null");
        Path link = Files.createSymbolicLink(folder.resolve("link"), folder.resolve("models--org--tiny/snapshots/" + COMMIT));
        assertEquals(new ModelName("org/tiny", COMMIT), ModelName.of(link));
    }

    @Test
    void titles() {
        assertEquals("tiny", new ModelName("org/tiny", COMMIT).title());
        assertEquals("model", new ModelName("/some/where/model", null).title());
    }
}
