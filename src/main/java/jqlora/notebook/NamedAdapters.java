package jqlora.notebook;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import jqlora.lora.LoraAdapter;
import jqlora.tensor.NearNames;

/** The adapters that a model of a notebook was given, by name. A layer has one in force at most, so whichever comes takes the place of others there. */
final class NamedAdapters {
    private final Map<String, LoraAdapter> adapters = new LinkedHashMap<>();
    /** Also those that another one of the same name has followed: a variable may hold them, and put them in force. */
    private final List<LoraAdapter> all = new ArrayList<>();

    /** Makes an adapter, or puts one in force. */
    @FunctionalInterface
    interface Making<E extends Exception> {
        LoraAdapter make() throws E;
    }

    /** What {@code making} puts in force, under that name. Others go out of force where they have a layer in common with it; if it fails, all is as it was. */
    <E extends Exception> LoraAdapter put(String name, Making<E> making) throws E {
        List<LoraAdapter> others = new ArrayList<>(all.stream().filter(LoraAdapter::isAttached).toList());
        others.forEach(LoraAdapter::detach);
        Set<String> layers = Set.of();
        LoraAdapter replaced = null;
        try {
            LoraAdapter made = making.make();
            layers = made.factors().keySet();
            replaced = adapters.put(name, made);
            if (!all.contains(made)) {
                all.add(made);
            }
            others.remove(made);
            return made;
        } finally {
            for (LoraAdapter other : others) {
                if (other != replaced && Collections.disjoint(other.factors().keySet(), layers)) {
                    other.attach();
                }
            }
        }
    }

    LoraAdapter use(String name) {
        LoraAdapter adapter = named(name);
        return put(name, adapter::attach);
    }

    void useNone() {
        all.forEach(LoraAdapter::detach);
    }

    void drop(String name) {
        LoraAdapter adapter = named(name);
        if (adapter.isMerged()) {
            throw new IllegalArgumentException("dropAdapter: " + name + " is merged into the weights; undo the merge first, with unmerge()");
        }
        adapter.close();
        adapters.remove(name);
    }

    private void forgetClosed() {
        adapters.values().removeIf(LoraAdapter::isClosed);
        all.removeIf(LoraAdapter::isClosed);
    }

    private LoraAdapter named(String name) {
        forgetClosed();
        LoraAdapter adapter = adapters.get(name);
        if (adapter == null) {
            throw new IllegalArgumentException("\"" + name + "\" is no adapter of this model" + (adapters.isEmpty() ? ", which has none"
                    : NearNames.hint(name, List.copyOf(adapters.keySet())) + "; it has " + String.join(", ", adapters.keySet())));
        }
        return adapter;
    }

    HtmlTable table(String title) {
        forgetClosed();
        HtmlTable table = Tables.of(title, "name", "adapter", "parameters", "state");
        adapters.forEach((name, adapter) -> table.row(name, adapter.config().toString(), adapter.parameterCount(),
                adapter.isMerged() ? "merged" : adapter.isAttached() ? "in force" : "out of force"));
        return table;
    }
}
