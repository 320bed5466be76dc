package jqlora.inspect;

import java.util.Arrays;
import java.util.Map;
import jqlora.quant.FourBitType;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.style.lines.SeriesLines;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** The 16 values of a 4-bit code against the weights that they must stand for. */
public final class CodebookChart {
    private static final int BINS = 81;

    private CodebookChart() { }

    /**
     * How often each scaled weight occurs, and where the code has its values.
     *
     * @param weights of one tensor
     * @param blockSize weights that share an absmax
     */
    public static XYChart of(float[] weights, int blockSize, FourBitType type) {
        double[] x = new double[BINS], density = new double[BINS];
        for (int from = 0; from < weights.length; from += blockSize) {
            int to = Math.min(weights.length, from + blockSize);
            float absmax = 0;
            for (int i = from; i < to; i++) {
                absmax = Math.max(absmax, Math.abs(weights[i]));
            }
            for (int i = from; i < to && absmax > 0; i++) {
                density[(int) Math.clamp(Math.round((weights[i] / absmax + 1) / 2 * (BINS - 1)), 0, BINS - 1)]++;
            }
        }
        double highest = Arrays.stream(density).max().orElse(1);
        for (int i = 0; i < BINS; i++) {
            x[i] = 2.0 * i / (BINS - 1) - 1;
            density[i] /= highest;
        }
        XYChart chart = new XYChartBuilder().width(640).height(340).title("Weights of a block and the 16 values of " + type).xAxisTitle("weight / absmax of its block").yAxisTitle("how often").build();
        ChartStyle.apply(chart.getStyler());
        chart.addSeries("weights", x, density);
        double[] values = new double[16], heights = new double[16];
        for (int code = 0; code < 16; code++) {
            values[code] = type.value(code);
        }
        Arrays.sort(values);
        chart.addSeries(type.name() + " values", values, heights).setMarker(SeriesMarkers.CIRCLE).setLineStyle(SeriesLines.NONE);
        return ChartStyle.roundTicks(chart);
    }

    /**
     * The values of several codes, each between -1 and 1, in rows one below the other: where a code is fine, and where it is coarse.
     *
     * @param codes name and values, the first one on top; at least one
     */
    public static XYChart sideBySide(Map<String, float[]> codes) {
        XYChart chart = new XYChartBuilder().width(640).height(130 + 50 * codes.size()).title("The values of each code").xAxisTitle("value / absmax").build();
        ChartStyle.apply(chart.getStyler());
        int row = codes.size();
        for (Map.Entry<String, float[]> code : codes.entrySet()) {
            double[] x = new double[code.getValue().length], y = new double[x.length];
            for (int i = 0; i < x.length; i++) {
                x[i] = code.getValue()[i];
            }
            Arrays.fill(y, row--);
            chart.addSeries(code.getKey(), x, y).setMarker(SeriesMarkers.CIRCLE).setLineStyle(SeriesLines.NONE);
        }
        chart.getStyler().setYAxisMin(0.5).setYAxisMax(codes.size() + 0.5).setYAxisTicksVisible(false).setPlotGridHorizontalLinesVisible(false);
        return ChartStyle.roundTicks(chart);
    }
}
