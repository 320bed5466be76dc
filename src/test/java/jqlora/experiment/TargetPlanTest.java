package jqlora.experiment;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import jqlora.lora.LoraConfig;
import jqlora.lora.TargetModules;
import org.junit.jupiter.api.Test;

class TargetPlanTest {
    @Test
    void defaultsGiveEachShippedDataSetItsOwnProjection() {
        List<String> plan = TargetPlan.defaults().entries().stream().map(entry -> entry.dataSet() + ": " + entry.lora()).toList();
        assertEquals(List.of("en-wiki-questions: r 16, alpha 32, q_proj", "zh-riddles: r 16, alpha 32, v_proj", "ja-phrases: r 16, alpha 32, k_proj"), plan);
        for (TargetPlan.Entry entry : TargetPlan.defaults().entries()) {
            assertTrue(Files.isRegularFile(Path.of("datasets", entry.dataSet(), "train.jsonl")), entry.dataSet() + " ships with jqlora");
        }
    }

    @Test
    void otherTargetsReplaceThoseOfOneDataSetAndKeepTheOrder() {
        TargetPlan plan = TargetPlan.defaults().with("zh-riddles", new TargetModules.AllLinear());
        assertEquals(List.of("q_proj", "all-linear", "k_proj"), plan.entries().stream().map(entry -> entry.lora().targetModules().text()).toList());
        assertEquals(TargetPlan.defaults(), plan.with("zh-riddles", TargetModules.names("v_proj")));
        assertFails(IllegalArgumentException.class, () -> plan.with("zh-riddle", new TargetModules.AllLinear()),
                "target plan: it has no data set \"zh-riddle\"; it has en-wiki-questions, zh-riddles, ja-phrases");
    }

    @Test
    void aChangeIsMadeToEveryAdapter() {
        TargetPlan plan = TargetPlan.defaults().mapLora(lora -> lora.withR(4).withUseRslora(true));
        assertEquals(List.of("r 4, alpha 32, rslora, q_proj", "r 4, alpha 32, rslora, v_proj", "r 4, alpha 32, rslora, k_proj"), plan.entries().stream().map(entry -> entry.lora().toString()).toList());
    }

    @Test
    void plansThatCannotBeRunAreRefused() {
        TargetPlan.Entry entry = new TargetPlan.Entry("a", LoraConfig.defaults());
        assertFails(IllegalArgumentException.class, () -> new TargetPlan(List.of()), "target plan: it has no entry, it must have at least one");
        assertFails(IllegalArgumentException.class, () -> new TargetPlan(List.of(entry, entry)), "target plan: \"a\" stands in it twice; every data set may have one adapter");
    }
}
