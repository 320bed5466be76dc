package jqlora.evaluate;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import jqlora.data.TokenizedRow;
import jqlora.lora.LoraAdapter;
import jqlora.lora.MergeRoute;
import jqlora.lora.Merger;
import jqlora.model.CausalLm;
import jqlora.model.MemoryReport;
import jqlora.train.HeldOutLoss;

/**
 * What each way of merging an adapter keeps of what training gained, measured on rows that were not trained on.
 *
 * @param baseLoss of the base without the adapter
 * @param tunedLoss of the base with the adapter
 * @param tunedBytes of the base's weights and the adapter
 */
public record MergeReport(double baseLoss, double tunedLoss, long tunedBytes, List<Row> rows) {
    public MergeReport {
        rows = List.copyOf(rows);
    }

    /**
     * @param loss of the merged model
     * @param kept share of the gain that is still there: 1 is the tuned model's, 0 is none, above 1 is better than the tuned model
     * @param bytes of the merged model's weights
     */
    public record Row(MergeRoute route, double loss, double kept, long bytes) { }

    /**
     * The routes that fit {@code adapter}'s base, those from the original only with {@code original}. Where only part of the layers is in 4 bits, the routes into
     * 4 bits are for those.
     */
    public static List<MergeRoute> routes(LoraAdapter adapter, boolean original) {
        boolean fourBit = adapter.factors().keySet().stream().anyMatch(module -> adapter.model().linear(module).state().loaded().fourBit() != null);
        return Arrays.stream(MergeRoute.values()).filter(route -> (fourBit || !route.isToFourBit()) && (original || !route.needsOriginal())).toList();
    }

    /**
     * Merges {@code adapter} by each route, measures, and undoes the merge; afterwards everything is as it was.
     *
     * @param adapter in force
     * @param heldOut rows that were not trained on
     * @throws IllegalArgumentException if the adapter is not in force, or a route does not fit its base
     */
    public static MergeReport measure(LoraAdapter adapter, List<TokenizedRow> heldOut, Merger merger, List<MergeRoute> routes) throws IOException {
        if (!adapter.isAttached()) {
            throw new IllegalArgumentException("merge report: the adapter is not in force, so its gain cannot be measured; attach it first");
        }
        CausalLm model = adapter.model();
        double tuned = HeldOutLoss.of(model, heldOut).loss();
        long tunedBytes = MemoryReport.of(model).total().bytes() + 4 * adapter.parameterCount();
        adapter.detach();
        double base = HeldOutLoss.of(model, heldOut).loss();
        adapter.attach();
        List<Row> rows = new ArrayList<>();
        for (MergeRoute route : routes) {
            try (Merger.Merged merged = merger.merge(adapter, route)) {
                try {
                    double loss = HeldOutLoss.of(model, heldOut).loss();
                    rows.add(new Row(route, loss, (base - loss) / (base - tuned), MemoryReport.of(model).total().bytes()));
                } finally {
                    merged.unmerge();
                }
            }
        }
        return new MergeReport(base, tuned, tunedBytes, rows);
    }

    /** A line for each route. */
    @Override
    public String toString() {
        StringBuilder text = new StringBuilder(String.format(Locale.ROOT, "base %.4f, tuned %.4f", baseLoss, tunedLoss));
        for (Row row : rows) {
            text.append(String.format(Locale.ROOT, "%n%-17s %.4f  keeps %.2f  %.1f MB", row.route, row.loss, row.kept, row.bytes / 1e6));
        }
        return text.toString();
    }
}
