package jqlora.inspect;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.ToDoubleFunction;
import jqlora.lora.LoraAdapter;
import jqlora.lora.Merger;
import jqlora.model.CausalLm;
import jqlora.ops.Weight;
import jqlora.tensor.TensorView;
import org.knowm.xchart.HeatMapChart;
import tech.tablesaw.api.DoubleColumn;
import tech.tablesaw.api.StringColumn;
import tech.tablesaw.api.Table;

/**
 * What a merge did to every weight that it touched, module by module and all together; {@link WeightDiff} looks into one of them.
 *
 * @param rows in the order of the forward
 */
public record MergeDiff(List<Row> rows) {
    public MergeDiff {
        rows = List.copyOf(rows);
    }

    /**
     * @param weights numbers of the module's weight
     * @param flipped share of the 4-bit codes that are others than before, from 0 to 1; NaN where the weight is not in 4 bits before and after
     */
    public record Row(String module, long weights, WeightDiff.Figures figures, double flipped) { }

    /**
     * The differences that {@code merged} made.
     *
     * @throws IllegalArgumentException if the merge is undone or final, so that the weights before it are gone
     */
    public static MergeDiff of(Merger.Merged merged) {
        LoraAdapter adapter = merged.adapter();
        if (!merged.isInForce()) {
            throw new IllegalArgumentException("merge diff: the merge of " + adapter.config() + " is undone or final, it holds no weights of before; look at it while it is in force");
        }
        List<Row> rows = new ArrayList<>();
        for (String module : adapter.factors().keySet()) {
            Weight before = merged.before(module), after = adapter.model().linear(module).weight();
            rows.add(new Row(module, before.shape().size(), WeightDiff.of(adapter, merged, module).figures(), flipped(adapter.model(), before, after)));
        }
        return new MergeDiff(rows);
    }

    private static double flipped(CausalLm model, Weight before, Weight after) {
        if (!(before instanceof Weight.FourBit was && after instanceof Weight.FourBit is)) {
            return Double.NaN;
        }
        MemorySegment old = model.ops().download(was).codes(), now = model.ops().download(is).codes();
        long flipped = 0;
        for (long i = 0; i < old.byteSize(); i++) {
            int changed = old.get(TensorView.BYTE, i) ^ now.get(TensorView.BYTE, i);      // two codes in a byte
            flipped += ((changed & 0xf0) != 0 ? 1 : 0) + ((changed & 0x0f) != 0 ? 1 : 0);
        }
        return (double) flipped / was.shape().size();
    }

    /** All modules together, each number of every weight counted alike, under the name {@code all}. */
    public Row total() {
        double before = 0, change = 0, update = 0, error = 0, product = 0, largestChange = 0, largestError = 0, same = 0, flipped = 0;
        long weights = 0;
        for (Row row : rows) {
            WeightDiff.Figures figures = row.figures;
            weights += row.weights;
            before += figures.beforeNorm() * figures.beforeNorm();
            change += figures.changeNorm() * figures.changeNorm();
            update += figures.updateNorm() * figures.updateNorm();
            error += figures.errorNorm() * figures.errorNorm();
            product += figures.arrived() * figures.updateNorm() * figures.updateNorm();
            largestChange = Math.max(largestChange, figures.largestChange());
            largestError = Math.max(largestError, figures.largestError());
            same += figures.unchanged() * row.weights;
            flipped += row.flipped * row.weights;
        }
        return new Row("all", weights, new WeightDiff.Figures(Math.sqrt(before), Math.sqrt(change), Math.sqrt(update), Math.sqrt(error), update == 0 ? 0 : product / update,
                largestChange, largestError, same / weights), flipped / weights);
    }

    /** A row for each module, and one for all: what changed, the distance from the sum, how much of the update arrived, which codes flipped. */
    public Table table() {
        StringColumn modules = StringColumn.create("module");
        DoubleColumn change = Shares.column("change", 2), error = Shares.column("error", 2), arrived = Shares.column("update that arrived", 1), flipped = Shares.column("codes flipped", 1);
        List<Row> all = new ArrayList<>(rows);
        all.addFirst(total());
        for (Row row : all) {
            modules.append(row.module);
            change.append(row.figures.relativeChange());
            error.append(row.figures.relativeError());
            arrived.append(row.figures.arrived());
            flipped.append(row.flipped);
        }
        return Table.create("What the merge did", modules, change, error, arrived, flipped);
    }

    /** How much each weight changed, against how much there was: layers from left to right, kinds of modules from top to bottom. */
    public HeatMapChart changeMap() {
        return map("Change against the weight", row -> row.figures.relativeChange());
    }

    /**
     * The share of the codes of each weight that are others than before.
     *
     * @throws IllegalArgumentException if no weight is in 4 bits before and after the merge
     */
    public HeatMapChart flipMap() {
        if (rows.stream().allMatch(row -> Double.isNaN(row.flipped))) {
            throw new IllegalArgumentException("merge diff: no weight is in 4 bits before and after the merge, so there are no codes to compare; changeMap() shows what changed");
        }
        return map("4-bit codes that changed", Row::flipped);
    }

    private HeatMapChart map(String title, ToDoubleFunction<Row> number) {
        Map<String, Double> shares = new LinkedHashMap<>();
        rows.stream().filter(row -> !Double.isNaN(number.applyAsDouble(row))).forEach(row -> shares.put(row.module, number.applyAsDouble(row)));
        return LayerMap.ofShares(title, shares);
    }
}
