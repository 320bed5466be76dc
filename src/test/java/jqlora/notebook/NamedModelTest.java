package jqlora.notebook;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import jqlora.format.FakeHub;
import jqlora.format.HubAccess;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class NamedModelTest {
    private static final Path EMBEDDED = Path.of("models/jqlora-tiny");

    @TempDir
    Path temp;
    private final RecordingScreen screen = new RecordingScreen();
    private final List<String> notices = new ArrayList<>();

    private Path folder(String model, NamedModel.Hub hub) throws IOException {
        return NamedModel.folder(model, EMBEDDED, hub, screen, notices::add);
    }

    private static HubAccess nowhere() {
        throw new AssertionError("the Hub was asked");
    }

    @Test
    void aFolderGoesFirstThenTheEmbeddedModel() throws IOException {
        assertEquals(temp, folder(temp.toString(), NamedModelTest::nowhere));
        assertEquals(EMBEDDED, folder("jqlora-tiny", NamedModelTest::nowhere));
    }

    @Test
    void whatCannotBeAModelIsRefusedWithWhatWouldDo() {
        for (String none : List.of("llama", "no-folder/of/mine", "./models/none", "~/models/none", "a b/c", "models--a/b", "", "/nowhere")) {
            assertFails(IOException.class, () -> folder(none, NamedModelTest::nowhere), "\"" + none + "\" is no folder here, and no name on the Hub (");
            assertFails(IOException.class, () -> folder(none, NamedModelTest::nowhere), "it must be the folder of a model, \"jqlora-tiny\", or such as \"HuggingFaceTB/SmolLM2-135M-Instruct\"");
        }
    }

    @Test
    void aModelOfTheHubIsDownloadedWithABarAndThenTakenFromTheCache() throws IOException {
        try (FakeHub hub = new FakeHub()) {
            hub.file("config.json", "{\"model_type\":\"llama\"}".getBytes(StandardCharsets.UTF_8));
            hub.file("tokenizer.json", "{}".getBytes(StandardCharsets.UTF_8));
            hub.file("model.safetensors", new byte[300_000]);
            Map<String, String> environment = Map.of("HF_ENDPOINT", hub.uri().toString(), "HF_HOME", temp.toString());
            Path fetched = folder(FakeHub.ID, () -> HubAccess.standard(environment, temp));
            assertTrue(Files.isRegularFile(fetched.resolve("model.safetensors")));
            assertTrue(String.join("\n", screen.shown()).contains("downloading model.safetensors"), screen.shown()::toString);
            assertTrue(String.join("\n", screen.shown()).contains("0.3 MB of 0.3 MB"), screen.shown()::toString);
            assertEquals(fetched, folder(FakeHub.ID + "@" + FakeHub.COMMIT, () -> HubAccess.standard(environment, temp)));
            hub.close();
            assertEquals(fetched, folder(FakeHub.ID, () -> {
                HubAccess access = HubAccess.standard(environment, temp);
                return new HubAccess(access.cache(), access.endpoint().withRetries(0), false);
            }));
            assertTrue(notices.getFirst().endsWith("; the model in the cache is used, which may be an older one"), notices.toString());
        }
    }
}
