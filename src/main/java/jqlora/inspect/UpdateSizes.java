package jqlora.inspect;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.DoubleFunction;
import java.util.stream.IntStream;
import jqlora.lora.LoraAdapter;
import jqlora.model.AttentionSpec;
import jqlora.model.CausalLm;
import jqlora.ops.LoraDelta;
import jqlora.ops.LoraFactors;
import jqlora.tensor.Tensor;
import org.knowm.xchart.HeatMapChart;
import tech.tablesaw.api.DoubleColumn;
import tech.tablesaw.api.StringColumn;
import tech.tablesaw.api.Table;

/** How much an adapter changes each weight, told without merging it. */
public record UpdateSizes(List<Row> rows) {
    private static final DoubleFunction<String> PERCENT = percent -> NumberText.alone(percent, 2) + "%";

    public UpdateSizes {
        rows = List.copyOf(rows);
    }

    /**
     * @param weight norm of W
     * @param update norm of scaling B A
     * @param effectiveRank of the update
     */
    public record Row(String module, double weight, double update, double effectiveRank) {
        /** How much is added, against how much there is. */
        public double relative() {
            return update / weight;
        }
    }

    /** One row for each module of {@code adapter}, in the order of the forward; in force or not. */
    public static UpdateSizes of(LoraAdapter adapter) {
        List<Row> rows = new ArrayList<>();
        adapter.factors().forEach((module, factors) -> {
            Spectrum spectrum = Spectrum.of(LoraDelta.of(adapter.model().ops(), factors));
            rows.add(new Row(module, norm(weight(adapter.model(), module)), spectrum.norm(), spectrum.effectiveRank()));
        });
        return new UpdateSizes(rows);
    }

    private static float[] weight(CausalLm model, String module) {
        try (Tensor numbers = model.ops().toFloat(model.linear(module).weight())) {
            return model.ops().download(numbers).toFloats();
        }
    }

    private static double norm(float[] numbers) {
        double squares = 0;
        for (float number : numbers) {
            squares += (double) number * number;
        }
        return Math.sqrt(squares);
    }

    /** A row for each module. */
    public Table table() {
        StringColumn modules = StringColumn.create("module");
        DoubleColumn weights = DoubleColumn.create("norm of W"), updates = DoubleColumn.create("norm of the update"), relative = Shares.column("relative", 2), ranks = DoubleColumn.create("effective rank");
        for (Row row : rows) {
            modules.append(row.module);
            weights.append(row.weight);
            updates.append(row.update);
            relative.append(row.relative());
            ranks.append(row.effectiveRank);
        }
        return Table.create("What the adapter adds", modules, weights, updates, relative, ranks);
    }

    /** The relative size of the updates in percent: layers down, modules across. */
    public HeatMapChart map() {
        Map<String, Double> relative = new LinkedHashMap<>();
        rows.forEach(row -> relative.put(row.module, 100 * row.relative()));
        return LayerChart.map("Size of the update against that of W", relative, PERCENT);
    }

    /**
     * The relative size of the update in percent, head by head: layers down, heads across. A head is {@code headDim} rows of q_proj, k_proj and v_proj, and as many columns of
     * o_proj; k_proj and v_proj have fewer heads where several query heads share one.
     *
     * @param kind q_proj, k_proj, v_proj or o_proj
     * @throws IllegalArgumentException for another, or one that {@code adapter} has not
     */
    public static HeatMapChart heads(LoraAdapter adapter, String kind) {
        if (!List.of("q_proj", "k_proj", "v_proj", "o_proj").contains(kind)) {
            throw new IllegalArgumentException("heads: \"" + kind + "\" has no heads, it must be q_proj, k_proj, v_proj or o_proj");
        }
        Map<String, LoraFactors> those = new LinkedHashMap<>();
        adapter.factors().forEach((module, factors) -> {
            if (ModulePlace.of(module).kind().equals(kind)) {
                those.put(module, factors);
            }
        });
        if (those.isEmpty()) {
            throw new IllegalArgumentException("heads: the adapter has nothing for \"" + kind + "\"; it has " + String.join(", ", adapter.factors().keySet()));
        }
        AttentionSpec attention = adapter.model().spec().attention();
        List<Number[]> cells = new ArrayList<>();
        List<String> modules = List.copyOf(those.keySet());
        for (int layer = 0; layer < modules.size(); layer++) {
            double[] heads = heads(weight(adapter.model(), modules.get(layer)), LoraDelta.of(adapter.model().ops(), those.get(modules.get(layer))), kind.equals("o_proj"), attention.headDim());
            for (int head = 0; head < heads.length; head++) {
                cells.add(new Number[] {head, modules.size() - 1 - layer, 100 * heads[head]});
            }
        }
        int count = kind.equals("q_proj") || kind.equals("o_proj") ? attention.numAttentionHeads() : attention.numKeyValueHeads();
        return LayerChart.cells("Size of the update against that of W: heads of " + kind, "head", IntStream.range(0, count).boxed().toList(),
                "layer", modules.reversed().stream().map(module -> ModulePlace.of(module).layer()).toList(), cells, PERCENT);
    }

    /** The relative size of {@code delta} in each head's rows, or its columns. */
    private static double[] heads(float[] weight, LoraDelta delta, boolean columns, int headDim) {
        int heads = (columns ? delta.inFeatures() : delta.outFeatures()) / headDim;
        double[] weights = new double[heads], updates = new double[heads];
        float[] row = new float[delta.inFeatures()];
        for (int i = 0; i < delta.outFeatures(); i++) {
            delta.row(i, row);
            for (int j = 0; j < row.length; j++) {
                int head = (columns ? j : i) / headDim;
                double old = weight[i * row.length + j];
                weights[head] += old * old;
                updates[head] += (double) row[j] * row[j];
            }
        }
        return IntStream.range(0, heads).mapToDouble(head -> Math.sqrt(updates[head] / weights[head])).toArray();
    }
}
