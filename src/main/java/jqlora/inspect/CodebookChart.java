package jqlora.inspect;

import java.util.Arrays;
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
}
