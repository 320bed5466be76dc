package jqlora.format;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class HubAccessTest {
    @TempDir
    Path home;

    @Test
    void withoutAnEnvironmentItIsTheHubAndTheUsersCache() throws IOException {
        HubAccess access = HubAccess.standard(Map.of(), home);
        assertEquals(URI.create("https://huggingface.co"), access.endpoint().uri());
        assertEquals(home.resolve(".cache/huggingface/hub"), access.cache().root());
        assertFalse(access.endpoint().token().isPresent());
        assertFalse(access.offline());
    }

    @Test
    void theEnvironmentNamesServerTokenAndCache() throws IOException {
        HubAccess access = HubAccess.standard(Map.of("HF_ENDPOINT", "https://hf-mirror.com", "HF_TOKEN", "hf_secret\n", "HF_HOME", home.resolve("hf").toString()), home);
        assertEquals(URI.create("https://hf-mirror.com"), access.endpoint().uri());
        assertEquals("Bearer hf_secret", access.endpoint().token().header());
        assertEquals(home.resolve("hf/hub"), access.cache().root());
        for (String on : new String[] {"1", "true", "YES", "On"}) {
            assertTrue(HubAccess.standard(Map.of("HF_HUB_OFFLINE", on), home).offline(), on);
            assertTrue(HubAccess.standard(Map.of("TRANSFORMERS_OFFLINE", on), home).offline(), on);
        }
        assertFalse(HubAccess.standard(Map.of("HF_HUB_OFFLINE", "0"), home).offline());
        assertFails(IllegalArgumentException.class, () -> HubAccess.standard(Map.of("HF_ENDPOINT", "hf mirror"), home),
                "HF_ENDPOINT is \"hf mirror\", it must be an address such as https://huggingface.co");
    }

    /** What {@code hf auth login} has written, unless the environment has another one. */
    @Test
    void theTokenOfALoginIsRead() throws IOException {
        Files.createDirectories(home.resolve(".cache/huggingface"));
        Files.writeString(home.resolve(".cache/huggingface/token"), "hf_login\n");
        assertEquals("Bearer hf_login", HubAccess.standard(Map.of(), home).endpoint().token().header());
        assertEquals("Bearer hf_other", HubAccess.standard(Map.of("HF_TOKEN", "hf_other"), home).endpoint().token().header());
        Files.writeString(home.resolve("elsewhere"), "hf_elsewhere");
        assertEquals("Bearer hf_elsewhere", HubAccess.standard(Map.of("HF_TOKEN_PATH", home.resolve("elsewhere").toString()), home).endpoint().token().header());
    }

    @Test
    void offlineAsksNoServer() throws IOException {
        try (FakeHub hub = new FakeHub()) {
            hub.file("config.json", "{\"model_type\":\"llama\"}".getBytes(StandardCharsets.UTF_8));
            hub.file("tokenizer.json", "{}".getBytes(StandardCharsets.UTF_8));
            hub.file("model.safetensors", new byte[100]);
            Map<String, String> online = Map.of("HF_ENDPOINT", hub.uri().toString(), "HF_HOME", home.toString());
            HubRepository model = HubRepository.of(FakeHub.ID);
            HubAccess offline = HubAccess.standard(Map.of("HF_ENDPOINT", hub.uri().toString(), "HF_HOME", home.toString(), "HF_HUB_OFFLINE", "1"), home);
            assertFails(HubException.class, () -> offline.fetch(model, DownloadListener.none()), "org/tiny-model (main): is not in the cache " + home.resolve("hub")
                    + "; download it first, or give the folder of a model");
            assertEquals(0, hub.requests.size());
            Path fetched = HubAccess.standard(online, home).fetch(model, DownloadListener.none());
            int requests = hub.requests.size();
            assertEquals(fetched, offline.fetch(model, DownloadListener.none()));
            assertEquals(requests, hub.requests.size());
        }
    }
}
