package jqlora.experiment;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.UnaryOperator;
import jqlora.lora.LoraConfig;
import jqlora.lora.TargetModules;

/**
 * Which data set trains which modules.
 *
 * @param entries one adapter each, in the order in which they are trained
 */
public record TargetPlan(List<Entry> entries) {
    public TargetPlan {
        entries = List.copyOf(entries);
        Set<String> names = new HashSet<>();
        for (Entry entry : entries) {
            if (!names.add(entry.dataSet())) {
                throw new IllegalArgumentException("target plan: \"" + entry.dataSet() + "\" stands in it twice; every data set may have one adapter");
            }
        }
        if (entries.isEmpty()) {
            throw new IllegalArgumentException("target plan: it has no entry, it must have at least one");
        }
    }

    /**
     * @param dataSet name of the data set
     * @param lora configuration of its adapter, target modules included
     */
    public record Entry(String dataSet, LoraConfig lora) { }

    /** English questions train q_proj, Chinese riddles v_proj, Japanese phrases k_proj; r 16, alpha 32, no dropout. */
    public static TargetPlan defaults() {
        LoraConfig lora = LoraConfig.defaults().withR(16).withLoraAlpha(32).withLoraDropout(0);
        return new TargetPlan(List.of(
                new Entry("en-wiki-questions", lora.withTargetModules("q_proj")),
                new Entry("zh-riddles", lora.withTargetModules("v_proj")),
                new Entry("ja-phrases", lora.withTargetModules("k_proj"))));
    }

    /** This with other target modules for {@code dataSet}.
     * @throws IllegalArgumentException if the plan does not have it */
    public TargetPlan with(String dataSet, TargetModules targets) {
        List<Entry> changed = new ArrayList<>();
        boolean found = false;
        for (Entry entry : entries) {
            boolean here = entry.dataSet.equals(dataSet);
            found |= here;
            changed.add(here ? new Entry(dataSet, entry.lora.withTargetModules(targets)) : entry);
        }
        if (!found) {
            throw new IllegalArgumentException("target plan: it has no data set \"" + dataSet + "\"; it has " + String.join(", ", entries.stream().map(Entry::dataSet).toList()));
        }
        return new TargetPlan(changed);
    }

    /** This with {@code change} made to the configuration of every adapter. */
    public TargetPlan mapLora(UnaryOperator<LoraConfig> change) {
        return new TargetPlan(entries.stream().map(entry -> new Entry(entry.dataSet, change.apply(entry.lora))).toList());
    }
}
