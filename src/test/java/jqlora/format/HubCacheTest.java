package jqlora.format;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class HubCacheTest {
    @Test
    void theStandardPlaceIsHuggingfaceHubs() {
        Path home = Path.of("/home/u");
        assertEquals(Path.of("/home/u/.cache/huggingface/hub"), HubCache.standard(Map.of(), home).root());
        assertEquals(Path.of("/x/huggingface/hub"), HubCache.standard(Map.of("XDG_CACHE_HOME", "/x"), home).root());
        assertEquals(Path.of("/home/u/hf/hub"), HubCache.standard(Map.of("XDG_CACHE_HOME", "/x", "HF_HOME", "~/hf"), home).root());
        assertEquals(Path.of("/c"), HubCache.standard(Map.of("HF_HUB_CACHE", "/c", "HF_HOME", "/h"), home).root());
    }

    @Test
    void namesAreHuggingfaceHubs() {
        assertEquals("models--HuggingFaceTB--SmolLM2-135M-Instruct", HubRepository.of("HuggingFaceTB/SmolLM2-135M-Instruct").folderName());
        assertEquals("models--gpt2", HubRepository.of("gpt2").folderName());
        assertEquals("gpt2 (refs/pr/1)", HubRepository.of("gpt2").withRevision("refs/pr/1").toString());
        for (String id : List.of("", "a/b/c", "../x", "a/..", ".a", "a-", "a--b", "a..b", "a.git", "a b", "a/", "/a", "é", "a\\b", "x".repeat(97))) {
            assertFails(IllegalArgumentException.class, () -> HubRepository.of(id), "model name is ", "it must be name or organisation/name");
        }
        for (String revision : List.of("", "..", "a/../b", "/a", "a/", "a//b", "a\\b", "a\n", "./a")) {
            assertFails(IllegalArgumentException.class, () -> HubRepository.of("a").withRevision(revision), "revision is ", "it must be a branch, a tag or a commit");
        }
    }
}
