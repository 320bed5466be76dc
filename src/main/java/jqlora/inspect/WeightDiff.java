package jqlora.inspect;

import java.util.Locale;
import jqlora.lora.LoraAdapter;
import jqlora.lora.Merger;
import jqlora.model.CausalLm;
import jqlora.ops.LoraDelta;
import jqlora.ops.Ops;
import jqlora.ops.Weight;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;
import org.knowm.xchart.HeatMapChart;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import tech.tablesaw.api.DoubleColumn;
import tech.tablesaw.api.StringColumn;
import tech.tablesaw.api.Table;

/** One weight before and after a merge, and the update that should lie between: {@code after = before + (alpha / r) B A}. */
public final class WeightDiff {
    private static final int BINS = 41, WIDTH = 640, HEIGHT = 380;

    private final String module;
    private final Shape shape;
    private final float[] before;
    private final float[] after;
    private final LoraDelta delta;
    private final boolean decoded;
    private final Figures figures;

    private WeightDiff(String module, Shape shape, float[] before, float[] after, LoraDelta delta, boolean decoded) {
        this.module = module;
        this.shape = shape;
        this.before = before;
        this.after = after;
        this.delta = delta;
        this.decoded = decoded;
        this.figures = measure();
    }

    /**
     * @param beforeNorm Frobenius norm of the weight before
     * @param changeNorm Frobenius norm of what changed
     * @param updateNorm Frobenius norm of what should have: (alpha / r) B A
     * @param errorNorm Frobenius norm of what lies between: after - (before + (alpha / r) B A)
     * @param arrived how much of the update the change has in its direction: 1 for all of it, on average, whatever noise there is beside it, and 0 for
     *     none; 0 too where there is no update
     * @param largestChange of one number
     * @param largestError of one number against before + (alpha / r) B A: rounding of the stored type, or of the 4-bit code
     * @param unchanged share of the numbers that are as they were; of a weight in 4 bits the decoded ones are compared, and where a merge made
     *     the absmax of a block anew they differ although the codes are the same: {@link CodeFlips} compares these
     */
    public record Figures(double beforeNorm, double changeNorm, double updateNorm, double errorNorm, double arrived, double largestChange,
            double largestError, double unchanged) {
        /** How much changed, against how much there was. */
        public double relativeChange() {
            return changeNorm / beforeNorm;
        }

        /** How large the update is, against how much there was. */
        public double relativeUpdate() {
            return updateNorm / beforeNorm;
        }

        /** How far the weight is from the sum, against how much there was. */
        public double relativeError() {
            return errorNorm / beforeNorm;
        }
    }

    /**
     * The difference that {@code merged} made to {@code module}.
     *
     * @throws IllegalArgumentException if the merge did not touch the module, or was made final
     */
    public static WeightDiff of(LoraAdapter adapter, Merger.Merged merged, String module) {
        CausalLm model = adapter.model();
        Weight old = merged.before(module);
        if (old == null) {
            throw new IllegalArgumentException("weight diff: the merge holds nothing of \"" + module + "\"; it holds " + String.join(", ", adapter.factors().keySet()));
        }
        return new WeightDiff(module, old.shape(), floats(model.ops(), old), floats(model.ops(), model.linear(module).weight()),
                LoraDelta.of(model.ops(), adapter.factors().get(module)), model.linear(module).weight() instanceof Weight.FourBit);
    }

    private static float[] floats(Ops ops, Weight weight) {
        try (Tensor tensor = ops.toFloat(weight)) {
            return ops.download(tensor).toFloats();
        }
    }

    private Figures measure() {
        int columns = (int) shape.dim(1);
        float[] row = new float[columns];
        double beforeSquares = 0, changeSquares = 0, updateSquares = 0, errorSquares = 0, product = 0, largestChange = 0, largestError = 0;
        long same = 0;
        for (int i = 0; i < before.length; i++) {
            if (i % columns == 0) {
                delta.row(i / columns, row);
            }
            double change = (double) after[i] - before[i], update = row[i % columns], error = change - update;
            beforeSquares += (double) before[i] * before[i];
            changeSquares += change * change;
            updateSquares += update * update;
            errorSquares += error * error;
            product += change * update;
            largestChange = Math.max(largestChange, Math.abs(change));
            largestError = Math.max(largestError, Math.abs(error));
            same += change == 0 ? 1 : 0;
        }
        return new Figures(Math.sqrt(beforeSquares), Math.sqrt(changeSquares), Math.sqrt(updateSquares), Math.sqrt(errorSquares),
                updateSquares == 0 ? 0 : product / updateSquares, largestChange, largestError, (double) same / before.length);
    }

    public String module() {
        return module;
    }

    /** Norms and largest differences. */
    public Figures figures() {
        return figures;
    }

    /** Whether the weight is in 4 bits, so that decoded numbers are compared. */
    public boolean isDecoded() {
        return decoded;
    }

    public Spectrum spectrum() {
        return Spectrum.of(delta);
    }

    /** Rows and columns 0 ... n - 1 as a table: before, the update, after, and what is left over. */
    public Table corner(int n) {
        StringColumn place = StringColumn.create("[row, column]");
        DoubleColumn was = DoubleColumn.create("before"), update = DoubleColumn.create("(alpha/r) B A"), is = DoubleColumn.create("after"),
                rest = DoubleColumn.create("after - sum");
        int columns = (int) shape.dim(1);
        float[] row = new float[columns];
        for (int i = 0; i < Math.min(n, shape.dim(0)); i++) {
            delta.row(i, row);
            for (int j = 0; j < Math.min(n, columns); j++) {
                int at = i * columns + j;
                place.append("[" + i + ", " + j + "]");
                was.append(before[at]);
                update.append(row[j]);
                is.append(after[at]);
                rest.append((double) after[at] - ((double) before[at] + row[j]));
            }
        }
        return Table.create(module, place, was, update, is, rest);
    }

    /** How often each size of change occurs. */
    public XYChart histogram() {
        double[] changes = new double[before.length];
        for (int i = 0; i < changes.length; i++) {
            changes[i] = (double) after[i] - before[i];
        }
        double reach = Math.max(figures.largestChange, Double.MIN_NORMAL);
        double width = 2 * reach / BINS;
        double[] edges = new double[BINS + 1], counts = new double[BINS + 1];            // the last edge closes the last bar
        for (int bin = 0; bin <= BINS; bin++) {
            edges[bin] = -reach + bin * width;
        }
        for (double change : changes) {
            counts[(int) Math.clamp((change + reach) / width, 0, BINS - 1)]++;
        }
        XYChart chart = new XYChartBuilder().width(WIDTH).height(HEIGHT).title("Change of " + module).xAxisTitle("after - before").yAxisTitle("weights").build();
        ChartStyle.apply(chart.getStyler());
        chart.getStyler().setDefaultSeriesRenderStyle(XYSeries.XYSeriesRenderStyle.StepArea).setLegendVisible(false);
        chart.addSeries("change", edges, counts);
        return ChartStyle.roundTicks(chart);
    }

    /** The size of the change over the weight, averaged over cells of rows and columns. */
    public HeatMapChart heatMap() {
        float[] change = new float[before.length];
        for (int i = 0; i < change.length; i++) {
            change[i] = after[i] - before[i];
        }
        return WeightMap.of("Mean |change| of " + module, TensorView.ofFloats(change, shape.toArray()));
    }

    /** The weight before. F32 [out, in], a copy. */
    public TensorView before() {
        return TensorView.ofFloats(before, shape.toArray());
    }

    /** The weight after. F32 [out, in], a copy. */
    public TensorView after() {
        return TensorView.ofFloats(after, shape.toArray());
    }

    /** A row for each module that the merge touched. */
    public static Table summary(LoraAdapter adapter, Merger.Merged merged) {
        StringColumn modules = StringColumn.create("module");
        DoubleColumn weight = DoubleColumn.create("norm before"), change = DoubleColumn.create("norm of change"), relative = Shares.column("relative", 2),
                largest = DoubleColumn.create("largest change"), error = DoubleColumn.create("largest error"), rank = DoubleColumn.create("effective rank");
        for (String module : adapter.factors().keySet()) {
            WeightDiff diff = of(adapter, merged, module);
            modules.append(module);
            weight.append(diff.figures.beforeNorm);
            change.append(diff.figures.changeNorm);
            relative.append(diff.figures.relativeChange());
            largest.append(diff.figures.largestChange);
            error.append(diff.figures.largestError);
            rank.append(diff.spectrum().effectiveRank());
        }
        return Table.create("What the merge changed", modules, weight, change, relative, largest, error, rank);
    }

    /** Such as {@code model.layers.0.self_attn.q_proj: changed by 0.021 of its norm, largest error 1.2e-07}. */
    @Override
    public String toString() {
        return String.format(Locale.ROOT, "%s: changed by %.3g of its norm, largest error %.2g", module, figures.relativeChange(), figures.largestError);
    }
}
