package jqlora.inspect;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Font;
import java.util.Arrays;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.style.AxesChartStyler;
import org.knowm.xchart.style.Styler;
import org.knowm.xchart.style.markers.Marker;
import org.knowm.xchart.style.markers.SeriesMarkers;

/**
 * The house style of charts: white with a margin, so that a picture stands on a light page and on a dark one alike, and mid-tone
 * series colours that hold on both. Text is in Java's logical sans-serif font, which takes Chinese, Japanese and Korean
 * characters from whatever font of the system has them.
 */
public final class ChartStyle {
    private static final Color INK = new Color(0x33, 0x3a, 0x45);
    private static final Color GRID = new Color(0xe3, 0xe6, 0xea);
    private static final Color[] SERIES = {
        new Color(0x3b78c4), new Color(0xdd8a2b), new Color(0x3f9b5f), new Color(0xc8504b),
        new Color(0x8a63b8), new Color(0x2f9aa0), new Color(0x9a7353), new Color(0xcf6da3),
    };
    private static final BasicStroke LINE = new BasicStroke(1.8f, BasicStroke.CAP_ROUND, BasicStroke.JOIN_ROUND);

    private ChartStyle() { }

    /** Gives {@code styler} the house style and returns it. Call it before settings of your own. */
    public static <S extends Styler> S apply(S styler) {
        styler.setChartBackgroundColor(Color.WHITE).setPlotBackgroundColor(Color.WHITE).setPlotBorderVisible(false)
              .setChartPadding(14).setChartFontColor(INK).setAntiAlias(true)
              .setChartTitleFont(font(Font.BOLD, 15)).setChartTitleBoxVisible(false).setChartTitlePadding(8)
              .setLegendFont(font(Font.PLAIN, 12)).setLegendBorderColor(Color.WHITE).setLegendPadding(6)
              .setLegendPosition(Styler.LegendPosition.OutsideS).setLegendLayout(Styler.LegendLayout.Horizontal)
              .setSeriesColors(SERIES.clone()).setSeriesLines(repeat(LINE)).setSeriesMarkers(noMarkers());
        if (styler instanceof AxesChartStyler axes) {
            axes.setAxisTitleFont(font(Font.PLAIN, 13)).setAxisTickLabelsFont(font(Font.PLAIN, 11)).setAxisTickLabelsColor(INK)
                .setPlotGridLinesColor(GRID).setPlotGridLinesStroke(new BasicStroke(1f)).setPlotGridVerticalLinesVisible(false)
                .setAxisTicksLineVisible(false).setAxisTickMarksColor(GRID).setPlotMargin(2);
        }
        return styler;
    }

    /**
     * Has the x axis of {@code chart} labelled with round numbers. Where the x values are equally spaced XChart labels as many of
     * them as fit; an axis longer by a thousandth makes it choose as it does otherwise. Call it when all series are there.
     */
    public static XYChart roundTicks(XYChart chart) {
        double[] x = chart.getSeriesMap().values().stream().flatMapToDouble(series -> Arrays.stream(series.getXData())).filter(Double::isFinite).toArray();
        double least = Arrays.stream(x).min().orElse(0);
        double greatest = Arrays.stream(x).max().orElse(0);
        if (greatest > least) {
            chart.getStyler().setXAxisMax(greatest + (greatest - least) / 1_000);
        }
        return chart;
    }

    private static Font font(int style, int points) {
        return new Font(Font.SANS_SERIF, style, points);
    }

    private static BasicStroke[] repeat(BasicStroke stroke) {
        BasicStroke[] strokes = new BasicStroke[SERIES.length];
        Arrays.fill(strokes, stroke);
        return strokes;
    }

    private static Marker[] noMarkers() {
        return new Marker[] {SeriesMarkers.NONE};
    }
}
