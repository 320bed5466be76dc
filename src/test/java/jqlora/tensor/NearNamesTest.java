package jqlora.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class NearNamesTest {
    private static final List<String> NAMES = List.of("model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.k_proj.weight",
            "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight");

    @Test
    void nearestFirst() {
        assertEquals(List.of("lm_head.weight"), NearNames.of("lm_heat.weight", NAMES));
        assertEquals(List.of("model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.k_proj.weight"),
                NearNames.of("model.layers.0.self_attn.q_prj.weight", NAMES));
    }

    @Test
    void aMissingOrSuperfluousPrefixIsNear() {
        assertEquals("model.norm.weight", NearNames.of("norm.weight", NAMES).getFirst());
        assertEquals("lm_head.weight", NearNames.of("base_model.model.lm_head.weight", NAMES).getFirst());
    }

    @Test
    void hintsEndAMessageOrAreEmpty() {
        assertEquals("; near it: \"lm_head.weight\"", NearNames.hint("lm_head.wight", NAMES));
        assertEquals("", NearNames.hint("optimizer.step", NAMES));
        assertEquals("", NearNames.hint("", NAMES));
    }

    @Test
    void boundedDistanceIsLevenshtein() {
        Random random = new Random(1);
        for (int trial = 0; trial < 2000; trial++) {
            String a = word(random), b = word(random);
            int limit = random.nextInt(8);
            assertEquals(Math.min(recursive(a, b), limit + 1), NearNames.distance(a, b, limit) > limit ? limit + 1 : NearNames.distance(a, b, limit));
        }
    }

    private static String word(Random random) {
        StringBuilder word = new StringBuilder();
        for (int i = random.nextInt(6); i > 0; i--) {
            word.append((char) ('a' + random.nextInt(3)));
        }
        return word.toString();
    }

    private static int recursive(String a, String b) {
        if (a.isEmpty() || b.isEmpty()) {
            return a.length() + b.length();
        }
        int replaced = recursive(a.substring(1), b.substring(1)) + (a.charAt(0) == b.charAt(0) ? 0 : 1);
        return Math.min(replaced, 1 + Math.min(recursive(a.substring(1), b), recursive(a, b.substring(1))));
    }
}
