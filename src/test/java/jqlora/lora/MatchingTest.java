package jqlora.lora;

import static jqlora.Assert.assertClose;
import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.regex.PatternSyntaxException;
import java.util.stream.Stream;
import jqlora.Oracle;
import jqlora.TinyModel;
import jqlora.format.JsonView;
import jqlora.model.CausalLm;
import jqlora.ops.cpu.CpuOps;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** PEFT's rules, on what PEFT itself adapted in the small Llama; and what is refused here that PEFT lets pass. */
class MatchingTest {
    private static CpuOps ops;
    private static CausalLm model;

    @BeforeAll
    static void open() throws IOException {
        ops = CpuOps.create();
        model = TinyModel.llama().open(ops, 1);
    }

    @AfterAll
    static void close() {
        model.close();
        assertEquals(0, ops.memory().bytesInUse(), "bytes in use after the model is closed");
        ops.close();
    }

    static Stream<JsonObject> cases() {
        JsonArray cases = Oracle.json(Oracle.fixture("lora/matching.json")).getAsJsonArray("cases");
        assertTrue(cases.size() >= 40, cases.size() + " cases");
        return cases.asList().stream().map(JsonElement::getAsJsonObject);
    }

    private static LoraConfig config(JsonObject given) throws IOException {
        JsonObject json = given.deepCopy();
        json.addProperty("peft_type", "LORA");
        json.addProperty("r", 4);
        json.addProperty("lora_alpha", 8);
        return AdapterConfigJson.read(JsonView.parse("case", json.toString()));
    }

    /** Names in a list that no module has, which PEFT passes over where another name matches. */
    private static List<String> unmatched(JsonElement targets) {
        List<String> unmatched = new ArrayList<>();
        if (targets.isJsonArray()) {
            for (JsonElement name : targets.getAsJsonArray()) {
                if (model.linears().keySet().stream().noneMatch(module -> module.equals(name.getAsString()) || module.endsWith("." + name.getAsString()))) {
                    unmatched.add(name.getAsString());
                }
            }
        }
        return unmatched;
    }

    @ParameterizedTest
    @MethodSource("cases")
    void adaptsWhatPeftAdapts(JsonObject entry) throws IOException {
        LoraConfig config = config(entry.getAsJsonObject("config"));
        List<String> unmatched = unmatched(entry.getAsJsonObject("config").get("target_modules"));
        if (!unmatched.isEmpty()) {
            assertFails(IllegalArgumentException.class, () -> LoraAdapter.create(model, config, 1), "targetModules: \"" + unmatched.getFirst() + "\" matches no linear layer of the model");
        } else if (entry.has("refused")) {
            assertFails(IllegalArgumentException.class, () -> LoraAdapter.create(model, config, 1), "targetModules: ");
        } else {
            JsonObject expected = entry.getAsJsonObject("modules");
            try (LoraAdapter adapter = LoraAdapter.create(model, config, 1)) {
                assertEquals(new TreeSet<>(expected.keySet()), new TreeSet<>(adapter.factors().keySet()));
                adapter.factors().forEach((module, factors) -> {
                    assertEquals(expected.getAsJsonArray(module).get(0).getAsLong(), factors.r(), "r of " + module);
                    assertClose("scaling of " + module, factors.scaling(), expected.getAsJsonArray(module).get(1).getAsDouble(), 0x1p-24, 0);
                });
            }
        }
    }

    // ---- errors

    @Test
    void namesNearTheOneThatWasMeant() {
        assertFails(IllegalArgumentException.class, () -> TargetTable.of(model, LoraConfig.defaults().withTargetModules("v_proj", "q_prj")),
                "targetModules: \"q_prj\" matches no linear layer of the model; near it: \"q_proj\"", "; its layers are called q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, lm_head");
        assertFails(IllegalArgumentException.class, () -> TargetTable.of(model, LoraConfig.defaults().withTargetModules("c_attn")), "\"c_attn\" matches no linear layer");
        assertFails(IllegalArgumentException.class, () -> TargetTable.of(model, LoraConfig.defaults().withTargetModules(TargetModules.ofText("q_proj"))), "\"q_proj\" matches no linear layer");
    }

    @Test
    void limitsThatLeaveNothing() {
        LoraConfig config = LoraConfig.defaults().withTargetModules("q_proj", "v_proj");
        assertFails(IllegalArgumentException.class, () -> TargetTable.of(model, config.withLimits(TargetLimits.none().withLayersToTransform(List.of(2)))),
                "targetModules: q_proj, v_proj matches only modules that excludeModules or layersToTransform take out again");
    }

    /** A row a pattern, also for one whose modules are all taken out; a module that two patterns match counts once. */
    @Test
    void tableOfPatterns() {
        LoraConfig config = LoraConfig.defaults().withR(2).withTargetModules("q_proj", "self_attn.q_proj", "down_proj")
                .withLimits(new TargetLimits(TargetModules.names("down_proj"), List.of(1), List.of()));
        TargetTable table = TargetTable.of(model, config);
        assertEquals(List.of(new TargetTable.Row("q_proj", List.of("model.layers.1.self_attn.q_proj"), 2 * (64 + 64)),
                new TargetTable.Row("self_attn.q_proj", List.of("model.layers.1.self_attn.q_proj"), 2 * (64 + 64)), new TargetTable.Row("down_proj", List.of(), 0)), table.rows());
        assertEquals(2 * (64 + 64), table.parameters());
    }

    @Test
    void aSecondAdapterOnTheSameLayerIsRefused() {
        try (LoraAdapter first = LoraAdapter.create(model, LoraConfig.defaults().withR(2).withTargetModules("q_proj"), 1);
                LoraAdapter other = LoraAdapter.create(model, LoraConfig.defaults().withR(2).withTargetModules("k_proj"), 1)) {
            other.detach();
            first.detach();
            first.attach();
            other.attach();
            try (LoraAdapter third = thirdAfterDetaching(first)) {
                assertFails(IllegalArgumentException.class, first::attach, "adapter: model.layers.0.self_attn.q_proj has another adapter in force");
                assertTrue(third.isAttached() && !first.isAttached());
            }
        }
    }

    private static LoraAdapter thirdAfterDetaching(LoraAdapter adapter) {
        adapter.detach();
        return LoraAdapter.create(model, LoraConfig.defaults().withR(2).withTargetModules("q_proj"), 2);
    }

    @Test
    void configurationsThatMakeNoSense() {
        LoraConfig config = LoraConfig.defaults();
        assertFails(IllegalArgumentException.class, () -> config.withR(0), "r must be at least 1, got 0");
        for (double alpha : new double[] {0, -1, Double.NaN, Double.POSITIVE_INFINITY}) {
            assertFails(IllegalArgumentException.class, () -> config.withLoraAlpha(alpha), "loraAlpha must be positive, got " + alpha);
        }
        for (float dropout : new float[] {-0.1f, 1, Float.NaN}) {
            assertFails(IllegalArgumentException.class, () -> config.withLoraDropout(dropout), "loraDropout must be in [0, 1), got " + dropout);
        }
        assertFails(IllegalArgumentException.class, () -> config.withTargetModules(new String[0]), "targetModules is empty", "\"q_proj\"");
        assertFails(IllegalArgumentException.class, () -> TargetLimits.none().withExcludeModules(TargetModules.ofText("all-linear")), "excludeModules is \"all-linear\"");
        assertFails(IllegalArgumentException.class, () -> new RankPatterns(Map.of("q_proj", 0), Map.of()), "rankPattern: r of \"q_proj\" is 0, it must be at least 1");
        assertFails(IllegalArgumentException.class, () -> new RankPatterns(Map.of(), Map.of("q_proj", -2.0)), "alphaPattern: loraAlpha of \"q_proj\" is -2.0, it must be positive");
        assertFails(PatternSyntaxException.class, () -> TargetModules.ofText(".*(q_proj"), ".*(q_proj");
        assertFails(PatternSyntaxException.class, () -> new RankPatterns(Map.of(), Map.of("[", 1.0)), "[");
        assertFails(NullPointerException.class, () -> config.withTargetModules((TargetModules) null), "targetModules");
    }
}
