package jqlora.notebook;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import jqlora.lora.LoraAdapter;
import jqlora.model.CausalLm;
import jqlora.model.Linear;
import jqlora.ops.LoraFactors;
import jqlora.ops.Parameter;
import jqlora.ops.Weight;
import jqlora.tensor.Shape;

/**
 * A model as a tree of its modules, as {@code print(model)} in PyTorch: shapes, how each weight is stored, adapters, parameters. Equal layers stand once, with
 * their count. In HTML a module opens and closes.
 */
record ModelTree(String title, Node root) implements Displayable {

    /**
     * A module.
     *
     * @param weights of its own: each a shape, how it is stored, and what else there is to say; empty for a module of modules
     * @param parameters of this and all below
     */
    record Node(String name, List<String> weights, long parameters, long adapter, List<Node> children) { }

    /** @param name what the model is called */
    static ModelTree of(String name, CausalLm model) {
        Map<String, List<String>> weights = new LinkedHashMap<>();
        Map<String, long[]> counts = new LinkedHashMap<>();
        Set<String> linears = model.linears().keySet();
        for (String module : order(model)) {
            if (linears.contains(module)) {
                linear(model, model.linear(module), weights, counts);
            }
        }
        for (Parameter parameter : model.parameters()) {
            String module = module(parameter.name());
            if (!linears.contains(module)) {
                weights.computeIfAbsent(module, none -> new ArrayList<>()).add(described(parameter.value().shape(), parameter.value().dtype().name(), parameter.isTrained()));
                counts.merge(module, new long[] {parameter.value().shape().size(), 0}, ModelTree::sum);
            }
        }
        Map<String, List<String>> ordered = new LinkedHashMap<>();
        order(model).forEach(module -> ordered.put(module, weights.get(module)));
        return new ModelTree(name, node(name, "", ordered, counts));
    }

    /** Only what an adapter adds. */
    static ModelTree of(String name, LoraAdapter adapter) {
        Map<String, List<String>> weights = new LinkedHashMap<>();
        Map<String, long[]> counts = new LinkedHashMap<>();
        adapter.factors().forEach((module, factors) -> {
            weights.put(module, List.of(described(factors)));
            counts.put(module, new long[] {size(factors), size(factors)});
        });
        return new ModelTree(name, node(name, "", weights, counts));
    }

    /** Every module that has a weight, in the order of the checkpoint's own parts: embedding, layers, last norm, output. */
    private static Set<String> order(CausalLm model) {
        Map<String, Set<String>> byLayer = new LinkedHashMap<>();
        Set<String> linears = model.linears().keySet();
        List<String> all = new ArrayList<>(model.parameters().stream().map(parameter -> module(parameter.name())).toList());
        String last = all.getLast();
        all.addAll(linears.stream().filter(name -> !name.equals(model.headName())).toList());
        all.forEach(module -> byLayer.computeIfAbsent(layer(module), none -> new LinkedHashSet<>()).add(module));
        Set<String> ordered = new LinkedHashSet<>();
        byLayer.forEach((layer, modules) -> {
            if (!layer.isEmpty()) {
                return;
            }
            modules.stream().findFirst().ifPresent(ordered::add);         // the embedding
        });
        byLayer.forEach((layer, modules) -> {
            if (!layer.isEmpty()) {
                modules.stream().filter(linears::contains).forEach(ordered::add);
                ordered.addAll(modules);
            }
        });
        ordered.addAll(byLayer.getOrDefault("", Set.of(last)));
        ordered.remove(model.headName());
        ordered.add(model.headName());
        return ordered;
    }

    /** The part of {@code module} up to its number; empty where there is none. */
    private static String layer(String module) {
        String[] parts = module.split("\\.");
        for (int i = 0, length = 0; i < parts.length; i++) {
            length += parts[i].length() + 1;
            if (parts[i].matches("\\d+")) {
                return module.substring(0, length - 1);
            }
        }
        return "";
    }

    private static String module(String parameter) {
        return parameter.replaceFirst("\\.(weight|bias)$", "");
    }

    private static void linear(CausalLm model, Linear linear, Map<String, List<String>> weights, Map<String, long[]> counts) {
        List<String> described = weights.computeIfAbsent(linear.name(), none -> new ArrayList<>());
        long own = linear.weight().shape().size() + (linear.bias() == null ? 0 : linear.bias().value().shape().size());
        boolean tied = linear.name().equals(model.headName()) && model.spec().tieWordEmbeddings();
        String storage = switch (linear.weight()) {
            case Weight.FourBit fourBit -> fourBit.format().type().id() + (fourBit.format().doubleQuantization() ? ", double quantization" : "");
            case Weight.Dense(Parameter parameter) -> parameter.value().dtype().name();
        };
        boolean trained = linear.weight() instanceof Weight.Dense(Parameter parameter) && parameter.isTrained();
        described.add(described(linear.weight().shape(), storage, trained) + (linear.bias() == null ? "" : ", bias") + (tied ? ", the embedding's weight" : ""));
        long adapter = 0;
        if (linear.lora() != null) {
            described.add(described(linear.lora()));
            adapter = size(linear.lora());
        }
        counts.merge(linear.name(), new long[] {(tied ? 0 : own) + adapter, adapter}, ModelTree::sum);
    }

    private static String described(Shape shape, String storage, boolean trained) {
        return shape + " " + storage + (trained ? ", trained" : "");
    }

    private static String described(LoraFactors factors) {
        return "LoRA r " + factors.r() + ", A " + factors.a().value().shape() + ", B " + factors.b().value().shape() + (factors.a().isTrained() ? ", trained" : "");
    }

    private static long size(LoraFactors factors) {
        return factors.a().value().shape().size() + factors.b().value().shape().size();
    }

    private static long[] sum(long[] one, long[] other) {
        return new long[] {one[0] + other[0], one[1] + other[1]};
    }

    private static Node node(String name, String path, Map<String, List<String>> weights, Map<String, long[]> counts) {
        Map<String, Set<String>> below = new LinkedHashMap<>();
        weights.keySet().stream().filter(module -> path.isEmpty() || module.startsWith(path + ".")).forEach(module -> {
            String rest = path.isEmpty() ? module : module.substring(path.length() + 1);
            below.computeIfAbsent(rest.split("\\.")[0], none -> new LinkedHashSet<>()).add(module);
        });
        List<Node> children = new ArrayList<>();
        below.keySet().forEach(child -> children.add(node(child, path.isEmpty() ? child : path + "." + child, weights, counts)));
        long[] own = counts.getOrDefault(path, new long[2]);
        long parameters = own[0] + children.stream().mapToLong(Node::parameters).sum(), adapter = own[1] + children.stream().mapToLong(Node::adapter).sum();
        return new Node(name, weights.getOrDefault(path, List.of()), parameters, adapter, grouped(children));
    }

    /** Neighbours that differ in nothing but their number are one. */
    private static List<Node> grouped(List<Node> children) {
        List<Node> grouped = new ArrayList<>();
        for (int from = 0, to; from < children.size(); from = to) {
            Node first = children.get(from);
            to = from + 1;
            while (to < children.size() && first.name.matches("\\d+") && children.get(to).name.matches("\\d+") && alike(first, children.get(to))) {
                to++;
            }
            long count = to - from;
            grouped.add(count == 1 ? first : new Node(first.name + " ... " + children.get(to - 1).name + ": " + count + " alike", first.weights, count * first.parameters,
                    count * first.adapter, first.children));
        }
        return grouped;
    }

    private static boolean alike(Node one, Node other) {
        return one.weights.equals(other.weights) && one.parameters == other.parameters && one.adapter == other.adapter && one.children.equals(other.children);
    }

    @Override
    public String text() {
        StringBuilder text = new StringBuilder(title).append(figures(root));
        lines(text, root, "");
        return text.toString();
    }

    private static void lines(StringBuilder text, Node node, String indent) {
        for (int i = 0; i < node.children.size(); i++) {
            Node child = node.children.get(i);
            boolean last = i == node.children.size() - 1;
            text.append('\n').append(indent).append(last ? "\u2514\u2500 " : "\u251c\u2500 ").append(child.name).append(said(child, Function.identity()));
            lines(text, child, indent + (last ? "   " : "\u2502  "));
        }
    }

    @Override
    public String html() {
        return html(root, Html.escape(title), 0, true);
    }

    private static String html(Node node, String name, int level, boolean open) {
        if (node.children.isEmpty()) {
            return "<code>" + name + "</code>" + said(node, Html::escape);
        }
        StringBuilder html = new StringBuilder("<details").append(open ? " open" : "").append("><summary>").append(level == 0 ? "<b>" + name + "</b>" : "<code>" + name + "</code>")
                .append(level == 0 ? Html.escape(figures(node)) : said(node, Html::escape)).append("</summary><ul>");
        boolean layerSeen = false;
        for (Node child : node.children) {                        // of several kinds of layers the first is open
            boolean layer = child.name.matches("\\d+.*");
            html.append("<li>").append(html(child, Html.escape(child.name), level + 1, !layer || !layerSeen)).append("</li>");
            layerSeen |= layer;
        }
        return html.append("</ul></details>").toString();
    }

    private static String said(Node node, Function<String, String> escaped) {
        String own = node.weights.isEmpty() ? "" : " " + String.join("; ", node.weights);
        return escaped.apply(own) + escaped.apply(node.weights.isEmpty() ? figures(node) : node.parameters == 0 ? "" : "; " + ShortNumber.grouped(node.parameters) + " parameters");
    }

    private static String figures(Node node) {
        String adapter = node.adapter == 0 || node.adapter == node.parameters ? ""
                : String.format(Locale.ROOT, ", of which %s in adapters (%.2f%%)", ShortNumber.grouped(node.adapter), 100.0 * node.adapter / node.parameters);
        return ": " + ShortNumber.grouped(node.parameters) + " parameters" + adapter;
    }
}
