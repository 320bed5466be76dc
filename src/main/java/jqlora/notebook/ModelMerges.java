package jqlora.notebook;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import jqlora.data.TokenizedRow;
import jqlora.evaluate.MergeReport;
import jqlora.format.Checkpoint;
import jqlora.lora.LoraAdapter;
import jqlora.lora.MergeRoute;
import jqlora.lora.Merger;

/** The merges that were made into a model of a notebook, in their order, from the folder that has its original weights. */
final class ModelMerges {
    private final Path folder;
    private final List<Merger.Merged> merges = new ArrayList<>();

    ModelMerges(Path folder) {
        this.folder = folder;
    }

    /** A merge, by default or by a route. */
    @FunctionalInterface
    interface Way {
        Merger.Merged merge(Merger merger) throws IOException;
    }

    Merger.Merged merge(Way way) throws IOException {
        try (Checkpoint original = Checkpoint.open(folder)) {
            Merger.Merged merged = way.merge(Merger.withOriginal(original));
            merges.add(merged);
            return merged;
        }
    }

    MergeReport report(LoraAdapter adapter, List<TokenizedRow> heldOut) throws IOException {
        try (Checkpoint original = Checkpoint.open(folder)) {
            Merger merger = Merger.withOriginal(original);
            boolean numbers = merger.defaultRoute(adapter) != MergeRoute.STOCHASTIC_4BIT;      // the route of a layer without an original
            return MergeReport.measure(adapter, heldOut, merger, MergeReport.routes(adapter, numbers));
        }
    }

    LoraAdapter undoLast() {
        Merger.Merged last = merges.reversed().stream().filter(Merger.Merged::isInForce).findFirst().orElseThrow(() -> new IllegalArgumentException(
                "unmerge: no merge is in force that could be undone; one that was made final by close() is undone by opening the model again"));
        last.unmerge();
        merges.removeIf(merged -> !merged.isInForce());
        return last.adapter();
    }
}
