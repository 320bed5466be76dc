package jqlora.inspect;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Font;
import java.util.Arrays;
import java.util.List;
import java.util.function.DoubleFunction;
import org.knowm.xchart.HeatMapChart;
import org.knowm.xchart.HeatMapChartBuilder;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.style.AxesChartStyler;
import org.knowm.xchart.style.CategoryStyler;
import org.knowm.xchart.style.HeatMapStyler;
import org.knowm.xchart.style.PieStyler;
import org.knowm.xchart.style.Styler;
import org.knowm.xchart.style.XYStyler;
import org.knowm.xchart.style.markers.Marker;
import org.knowm.xchart.style.markers.SeriesMarkers;

/**
 * The house style of charts: text, grid and series in middle tones that can be read on white and on the dark pages of notebooks alike. Files have a white
 * background; on a notebook's page {@link ChartPage} takes it away. Text is in Java's logical sans-serif font, which takes Chinese, Japanese and Korean
 * characters from whatever font of the system has them.
 */
public final class ChartStyle {
    /** Text: at least 4:1 on white, and on the dark backgrounds of JupyterLab, VS Code and GitHub. */
    public static final Color INK = new Color(0x76, 0x7d, 0x88);
    private static final Color GRID = new Color(0x80, 0x80, 0x80, 0x50);
    private static final List<Color> SERIES = List.of(
            new Color(0x3f7ccb), new Color(0xd07d1c), new Color(0x3f9b5f), new Color(0xcc5650),
            new Color(0x8f69bd), new Color(0x2f9aa0), new Color(0x9d7656), new Color(0xcf6da3));
    private static final List<Color> RANGE = List.of(new Color(0xe6edf5), new Color(0x7fb2dd), new Color(0x1d4f91));
    private static final BasicStroke LINE = new BasicStroke(1.8f, BasicStroke.CAP_ROUND, BasicStroke.JOIN_ROUND);

    private static final int LEGEND_LINE = 8, LEGEND_LETTER = 8;  // letters that an entry's line takes, points of a letter

    private ChartStyle() { }

    /** The colours of series, in their order: at least 3:1 on white and on dark pages. */
    public static List<Color> series() {
        return SERIES;
    }

    /** Gives {@code styler} the house style and returns it. Call it before settings of your own. */
    public static <S extends Styler> S apply(S styler) {
        styler.setChartBackgroundColor(Color.WHITE).setPlotBackgroundColor(Color.WHITE).setPlotBorderVisible(false)
              .setChartPadding(14).setChartFontColor(INK).setAntiAlias(true)
              .setChartTitleFont(font(Font.BOLD, 15)).setChartTitleBoxVisible(false).setChartTitlePadding(8)
              .setLegendFont(font(Font.PLAIN, 12)).setLegendBackgroundColor(Color.WHITE).setLegendBorderColor(Color.WHITE).setLegendPadding(6)
              .setLegendPosition(Styler.LegendPosition.OutsideS).setLegendLayout(Styler.LegendLayout.Horizontal)
              .setSeriesColors(SERIES.toArray(Color[]::new)).setSeriesLines(repeat(LINE)).setSeriesMarkers(noMarkers())
              .setAnnotationTextFontColor(INK).setMarkerSize(7);
        if (styler instanceof AxesChartStyler axes) {
            axes.setAxisTitleFont(font(Font.PLAIN, 13)).setAxisTickLabelsFont(font(Font.PLAIN, 12)).setAxisTickLabelsColor(INK)
                .setPlotGridLinesColor(GRID).setPlotGridLinesStroke(new BasicStroke(1f)).setPlotGridVerticalLinesVisible(false)
                .setAxisTicksLineVisible(false).setAxisTickMarksColor(GRID).setPlotMargin(2);
        }
        switch (styler) {
            case HeatMapStyler heatMap -> heatMap.setRangeColors(RANGE.toArray(Color[]::new)).setPlotGridLinesVisible(false);
            case CategoryStyler bars -> bars.setLabelsFontColorAutomaticEnabled(true).setLabelsFont(font(Font.PLAIN, 12));
            case PieStyler pie -> pie.setLabelsFontColorAutomaticEnabled(true).setLabelsFont(font(Font.PLAIN, 12));
            case XYStyler lines -> lines.setCursorLineWidth(1f);
            default -> { }
        }
        return styler;
    }

    /**
     * Has the axes of {@code chart} labelled with round numbers. Where values are equally spaced, as two always are, XChart labels as many of
     * them as fit; an axis that is a little longer makes it choose as it does otherwise. Call it when all series are there.
     */
    public static XYChart roundTicks(XYChart chart) {
        double[] x = chart.getSeriesMap().values().stream().flatMapToDouble(series -> Arrays.stream(series.getXData())).filter(Double::isFinite).toArray();
        double least = Arrays.stream(x).min().orElse(0);
        double greatest = Arrays.stream(x).max().orElse(0);
        if (greatest > least) {
            chart.getStyler().setXAxisMax(greatest + (greatest - least) / 1_000);
        }
        double[] y = chart.getSeriesMap().values().stream().flatMapToDouble(series -> Arrays.stream(series.getYData())).filter(Double::isFinite).distinct().sorted().toArray();
        if (y.length == 1 || y.length == 2) {
            double margin = y.length == 2 ? (y[1] - y[0]) / 10 : y[0] == 0 ? 1 : Math.abs(y[0]) / 10;
            chart.getStyler().setYAxisMin(y[0] - margin);
            chart.getStyler().setYAxisMax(y[y.length - 1] + 1.07 * margin);      // not as far as below: that would be equal spacing again
        }
        return chart;
    }

    /**
     * Puts the entries of a legend below the chart one below the other where they would not fit side by side, such as names of modules. Call it when all series
     * are there.
     */
    static XYChart fittingLegend(XYChart chart) {
        int letters = chart.getSeriesMap().keySet().stream().mapToInt(name -> name.length() + LEGEND_LINE).sum();
        if (letters > chart.getWidth() / LEGEND_LETTER) {
            chart.getStyler().setLegendLayout(Styler.LegendLayout.Vertical);
        }
        return chart;
    }

    /**
     * A heat map without cells, in the house style, its legend at the right.
     *
     * @param text how the legend writes a number
     */
    public static HeatMapChart heatMap(int width, int height, String title, String xTitle, String yTitle, DoubleFunction<String> text) {
        HeatMapChart chart = new HeatMapChartBuilder().width(width).height(height).title(title).xAxisTitle(xTitle).yAxisTitle(yTitle).build();
        apply(chart.getStyler());
        chart.getStyler().setLegendPosition(Styler.LegendPosition.OutsideE).setLegendLayout(Styler.LegendLayout.Vertical);
        chart.getStyler().setHeatMapDecimalValueFormatter(text::apply);
        return chart;
    }

    /** Writes each cell's value into it, as {@code text} says, in white on dark cells and dark on light ones. */
    public static HeatMapChart showValues(HeatMapChart map, DoubleFunction<String> text) {
        map.addAnnotation(new HeatMapValues(map, text));
        return map;
    }

    private static Font font(int style, int points) {
        return new Font(Font.SANS_SERIF, style, points);
    }

    private static BasicStroke[] repeat(BasicStroke stroke) {
        BasicStroke[] strokes = new BasicStroke[SERIES.size()];
        Arrays.fill(strokes, stroke);
        return strokes;
    }

    private static Marker[] noMarkers() {
        return new Marker[] {SeriesMarkers.NONE};
    }
}
