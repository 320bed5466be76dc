package jqlora.lora;

import java.util.ArrayList;
import java.util.List;
import jqlora.model.CausalLm;
import jqlora.model.Linear;
import jqlora.tensor.NearNames;

/**
 * What a configuration adapts in a model, pattern by pattern, before anything is made.
 *
 * @param parameters of all adapters together; a module that several patterns match counts once
 */
public record TargetTable(List<Row> rows, long parameters) {
    public TargetTable {
        rows = List.copyOf(rows);
    }

    /**
     * @param pattern a listed name, the regular expression, or all-linear
     * @param modules full names that it matches, in the order of the forward
     * @param parameters that their adapters have
     */
    public record Row(String pattern, List<String> modules, long parameters) {
        public Row {
            modules = List.copyOf(modules);
        }
    }

    /**
     * The table of {@code config} on {@code model}. A pattern whose modules the limits all take out again has a row without modules.
     *
     * @throws IllegalArgumentException if a pattern matches no module of the model; the message gives names near it (PEFT complains
     *     only when none of the patterns matches); if the limits leave no module at all; or if the output layer is adapted where its weight
     *     is the embedding's too, so that a merge would change both
     */
    public static TargetTable of(CausalLm model, LoraConfig config) {
        List<Row> rows = new ArrayList<>();
        for (TargetModules part : config.targetModules().parts()) {
            if (model.linears().keySet().stream().noneMatch(name -> part.matches(name, isInner(model, name)))) {
                throw new IllegalArgumentException(noMatch(model, part));
            }
            List<String> modules = model.linears().keySet().stream().filter(name -> config.adapts(part, name, isInner(model, name))).toList();
            rows.add(new Row(part.text(), modules, modules.stream().mapToLong(name -> parameters(model.linear(name), config.rOf(name))).sum()));
        }
        if (rows.stream().allMatch(row -> row.modules().isEmpty())) {
            throw new IllegalArgumentException("targetModules: " + config.targetModules().text() + " matches only modules that excludeModules or"
                    + " layersToTransform take out again; nothing would be trained");
        }
        if (model.spec().tieWordEmbeddings() && config.adapts(model.headName(), false)) {
            throw new IllegalArgumentException("targetModules: " + config.targetModules().text() + " matches " + model.headName()
                    + ", whose weight is the embedding's too in this model; it cannot have an adapter, name other modules or exclude it");
        }
        long all = model.linears().keySet().stream().filter(name -> config.adapts(name, isInner(model, name)))
                .mapToLong(name -> parameters(model.linear(name), config.rOf(name))).sum();
        return new TargetTable(rows, all);
    }

    /** The adapted modules, each once, in the order of the forward. */
    static List<String> modules(CausalLm model, LoraConfig config) {
        of(model, config);
        return model.linears().keySet().stream().filter(name -> config.adapts(name, isInner(model, name))).toList();
    }

    /** As {@link #modules}, of a file whose configuration may name modules that this model lacks: at least one must be there. */
    static List<String> fitting(CausalLm model, LoraConfig config) {
        List<TargetModules> parts = config.targetModules().parts().stream()
                .filter(part -> model.linears().keySet().stream().anyMatch(name -> part.matches(name, isInner(model, name)))).toList();
        if (parts.isEmpty() || !(config.targetModules() instanceof TargetModules.Names)) {
            return modules(model, config);
        }
        return modules(model, config.withTargetModules(TargetModules.names(parts.stream().map(TargetModules::text).toArray(String[]::new))));
    }

    private static boolean isInner(CausalLm model, String name) {
        return !name.equals(model.headName());
    }

    private static long parameters(Linear linear, int r) {
        return r * (linear.inFeatures() + linear.outFeatures());
    }

    private static String noMatch(CausalLm model, TargetModules part) {
        List<String> endings = model.linears().keySet().stream().map(name -> name.substring(name.lastIndexOf('.') + 1)).distinct().toList();
        return "targetModules: \"" + part.text() + "\" matches no linear layer of the model" + NearNames.hint(part.text(), endings)
                + "; its layers are called " + String.join(", ", endings);
    }
}
