package jqlora.inspect;

import java.util.Map;
import jqlora.tensor.TensorView;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.style.lines.SeriesLines;

/** How often each size of weight occurs. */
public final class WeightHistogram {
    private static final int BINS = 81, WIDTH = 640, HEIGHT = 380;
    private static final double REACH = 8;                        // deviations
    private static final String BELL = "bell curve";

    private WeightHistogram() { }

    /**
     * A line for each tensor, all on one axis.
     *
     * @param tensors F32, F16 or BF16; at least one with a number
     */
    public static XYChart of(String title, Map<String, TensorView> tensors) {
        double reach = Double.MIN_NORMAL;
        for (TensorView tensor : tensors.values()) {
            for (float number : tensor.toFloats()) {
                reach = Math.max(reach, Math.abs(number));
            }
        }
        XYChart chart = chart(title, "weight", "share of the weights");
        for (Map.Entry<String, TensorView> tensor : tensors.entrySet()) {
            chart.addSeries(tensor.getKey(), centres(reach), shares(tensor.getValue().toFloats(), 0, reach));
        }
        return ChartStyle.fittingLegend(ChartStyle.roundTicks(chart));
    }

    /**
     * The same with each tensor in its own standard deviations and shares on a logarithmic axis, beside a bell curve: so tails are seen, where a share is one in
     * thousands. What lies beyond eight deviations is counted at the ends.
     *
     * @param tensors as for {@link #of}
     */
    public static XYChart tails(String title, Map<String, TensorView> tensors) {
        XYChart chart = chart(title, "distance from the mean, in standard deviations", "share of the weights");
        chart.getStyler().setYAxisLogarithmic(true);
        double[] x = centres(REACH);
        double least = 1;
        for (Map.Entry<String, TensorView> tensor : tensors.entrySet()) {
            WeightStats stats = WeightStats.of(tensor.getKey(), tensor.getValue());
            float[] numbers = tensor.getValue().toFloats();
            double[] shares = shares(numbers, stats.mean(), REACH * stats.deviation());
            least = Math.min(least, 0.5 / numbers.length);
            chart.addSeries(tensor.getKey(), x, withoutZeros(shares, 0));
        }
        double[] bell = new double[x.length];
        for (int i = 0; i < x.length; i++) {
            bell[i] = 2 * REACH / BINS / Math.sqrt(2 * Math.PI) * Math.exp(-x[i] * x[i] / 2);
        }
        chart.addSeries(BELL, x, withoutZeros(bell, least)).setLineStyle(SeriesLines.DASH_DASH);
        return ChartStyle.fittingLegend(chart);
    }

    private static XYChart chart(String title, String x, String y) {
        XYChart chart = new XYChartBuilder().width(WIDTH).height(HEIGHT).title(title).xAxisTitle(x).yAxisTitle(y).build();
        ChartStyle.apply(chart.getStyler());
        return chart;
    }

    private static double[] centres(double reach) {
        double[] centres = new double[BINS];
        for (int i = 0; i < BINS; i++) {
            centres[i] = reach * (2.0 * i / (BINS - 1) - 1);
        }
        return centres;
    }

    private static double[] shares(float[] numbers, double middle, double reach) {
        double[] shares = new double[BINS];
        for (float number : numbers) {
            shares[(int) Math.clamp(Math.round(((number - middle) / reach + 1) / 2 * (BINS - 1)), 0, BINS - 1)] += 1.0 / numbers.length;
        }
        return shares;
    }

    /** A logarithmic axis has no place for a zero: the line has a gap there. */
    private static double[] withoutZeros(double[] shares, double least) {
        double[] drawn = shares.clone();
        for (int i = 0; i < drawn.length; i++) {
            drawn[i] = drawn[i] > least ? drawn[i] : Double.NaN;
        }
        return drawn;
    }
}
