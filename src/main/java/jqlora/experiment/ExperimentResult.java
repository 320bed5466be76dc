package jqlora.experiment;

import java.util.ArrayList;
import java.util.List;
import jqlora.inspect.ChartStyle;
import jqlora.lora.MergeRoute;
import jqlora.train.TrainResult;
import org.knowm.xchart.HeatMapChart;
import tech.tablesaw.api.DoubleColumn;
import tech.tablesaw.api.LongColumn;
import tech.tablesaw.api.StringColumn;
import tech.tablesaw.api.Table;

/**
 * What an experiment found.
 *
 * @param runs one a data set, in the plan's order
 * @param baseLoss held-out loss of the base on each data set
 * @param crossLoss held-out loss of adapter i (row) on data set j (column)
 */
public record ExperimentResult(List<Run> runs, List<Double> baseLoss, List<List<Double>> crossLoss) {
    public ExperimentResult {
        runs = List.copyOf(runs);
        baseLoss = List.copyOf(baseLoss);
        crossLoss = crossLoss.stream().map(List::copyOf).toList();
    }

    /**
     * @param targets the trained modules, as the plan names them
     * @param parameters trained numbers
     * @param mergedLoss held-out loss after the merge
     * @param route by which it was merged
     */
    public record Run(String dataSet, String targets, long parameters, TrainResult training, double mergedLoss, MergeRoute route) { }

    /** A row for each adapter: parameters, held-out loss before, after and merged, time, memory. */
    public Table table() {
        StringColumn dataSets = StringColumn.create("data set"), targets = StringColumn.create("target modules");
        LongColumn parameters = LongColumn.create("parameters");
        DoubleColumn before = DoubleColumn.create("loss before"), after = DoubleColumn.create("loss after"), merged = DoubleColumn.create("loss merged"),
                seconds = DoubleColumn.create("seconds"), speed = DoubleColumn.create("tokens/s"), memory = DoubleColumn.create("peak MB");
        for (int i = 0; i < runs.size(); i++) {
            Run run = runs.get(i);
            dataSets.append(run.dataSet);
            targets.append(run.targets);
            parameters.append(run.parameters);
            before.append(baseLoss.get(i));
            after.append(crossLoss.get(i).get(i));
            merged.append(run.mergedLoss);
            seconds.append(run.training.seconds());
            speed.append(run.training.tokensPerSecond());
            memory.append(run.training.peakBytes() / 1e6);
        }
        return Table.create("One base, an adapter a data set", dataSets, targets, parameters, before, after, merged, seconds, speed, memory);
    }

    /** Every adapter against every data set: held-out losses, the base in the first row. */
    public Table matrix() {
        StringColumn names = StringColumn.create("adapter");
        names.append("base, no adapter");
        runs.forEach(run -> names.append(run.dataSet + " (" + run.targets + ")"));
        Table table = Table.create("Held-out loss of each adapter on each data set", names);
        for (int j = 0; j < runs.size(); j++) {
            DoubleColumn column = DoubleColumn.create(runs.get(j).dataSet).append(baseLoss.get(j));
            for (List<Double> row : crossLoss) {
                column.append(row.get(j));
            }
            table.addColumns(column);
        }
        return table;
    }

    /** {@link #matrix} as a picture: the darker, the more of the base's loss is gone. */
    public HeatMapChart matrixChart() {
        List<Number[]> cells = new ArrayList<>();
        for (int i = 0; i < runs.size(); i++) {
            for (int j = 0; j < runs.size(); j++) {
                cells.add(new Number[] {j, runs.size() - 1 - i, Math.round(1000 * (1 - crossLoss.get(i).get(j) / baseLoss.get(j))) / 1000.0});
            }
        }
        HeatMapChart chart = ChartStyle.heatMap(640, 380, "Share of the base's held-out loss that is gone", "data set", "adapter", value -> Math.round(100 * value) + "%");
        List<String> names = runs.stream().map(Run::dataSet).toList();
        chart.addSeries("share", names, names.reversed(), cells);
        return ChartStyle.showValues(chart, value -> Math.round(100 * value) + "%");
    }
}
