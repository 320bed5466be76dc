package jqlora.inspect;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.awt.Color;
import java.awt.image.BufferedImage;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.BoxChartBuilder;
import org.knowm.xchart.CategoryChart;
import org.knowm.xchart.CategoryChartBuilder;
import org.knowm.xchart.HeatMapChart;
import org.knowm.xchart.HeatMapChartBuilder;
import org.knowm.xchart.PieChart;
import org.knowm.xchart.PieChartBuilder;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.internal.chartpart.Chart;
import org.knowm.xchart.style.Styler.ChartTheme;
import org.knowm.xchart.BoxChart;

class ChartPageTest {
    /** White, and the dark pages of JupyterLab, VS Code and GitHub. */
    private static final List<Color> PAGES = List.of(Color.WHITE, new Color(0x111111), new Color(0x1e1e1e), new Color(0x0d1117));

    @Test
    void textAndLinesCanBeReadOnLightAndOnDarkPages() {
        for (Color page : PAGES) {
            assertTrue(Contrast.ratio(ChartStyle.INK, page) >= 4, "text on " + page + ": " + Contrast.ratio(ChartStyle.INK, page));
            ChartStyle.series().forEach(series -> assertTrue(Contrast.ratio(series, page) >= 3, series + " on " + page + ": " + Contrast.ratio(series, page)));
        }
        assertEquals(21, Contrast.ratio(Color.BLACK, Color.WHITE), 1e-9);
    }

    @Test
    void numbersInAHeatMapCanBeReadOnEveryCell() {
        Color[] range = ChartStyle.apply(new HeatMapChartBuilder().build().getStyler()).getRangeColors();
        for (int i = 0; i <= 100; i++) {
            Color cell = Contrast.between(range, i / 100.0);
            assertTrue(Contrast.ratio(Contrast.textOn(cell), cell) >= 4.5, i + ": " + Contrast.ratio(Contrast.textOn(cell), cell));
        }
        assertEquals(range[0], Contrast.between(range, 0));
        assertEquals(range[2], Contrast.between(range, 1));
    }

    /** The two cells at the ends of the range have dark and light text: some pixels of either kind lie in them. */
    @Test
    void aDarkCellHasLightTextAndALightCellHasDarkText() {
        HeatMapChart map = new HeatMapChartBuilder().width(400).height(200).build();
        ChartStyle.apply(map.getStyler()).setLegendVisible(false);
        map.addSeries("s", List.of("a", "b"), List.of("c"), List.of(new Number[] {0, 0, 0}, new Number[] {1, 0, 88}));
        BufferedImage plain = ChartPage.paint(map, 1), written = ChartPage.paint(ChartStyle.showValues(map, value -> "" + Math.round(value)), 1);
        List<Integer> left = changed(plain, written, 0, 220), right = changed(plain, written, 220, 400);
        assertTrue(left.size() > 5 && left.stream().anyMatch(rgb -> Contrast.luminance(new Color(rgb)) < 0.05), "dark on light: " + left.size());
        assertTrue(right.size() > 5 && right.stream().anyMatch(rgb -> Contrast.luminance(new Color(rgb)) > 0.8), "light on dark: " + right.size());
    }

    private static List<Integer> changed(BufferedImage before, BufferedImage after, int fromX, int toX) {
        List<Integer> changed = new ArrayList<>();
        for (int x = fromX; x < toX; x++) {
            for (int y = 0; y < after.getHeight(); y++) {
                if (before.getRGB(x, y) != after.getRGB(x, y)) {
                    changed.add(after.getRGB(x, y));
                }
            }
        }
        return changed;
    }

    private static XYChart lines() {
        XYChart chart = new XYChartBuilder().width(300).height(200).title("mine").build();
        chart.addSeries("a", new double[] {0, 0.02, 0.08}, new double[] {1, 2, 1.5});
        return chart;
    }

    static List<Chart<?, ?>> everyKind() {
        CategoryChart bars = new CategoryChartBuilder().width(300).height(200).build();
        bars.addSeries("n", List.of("x", "y"), List.of(12_000, 25_000));
        PieChart pie = new PieChartBuilder().width(300).height(200).build();
        pie.addSeries("p", 1);
        pie.addSeries("q", 2);
        HeatMapChart map = new HeatMapChartBuilder().width(300).height(200).build();
        map.addSeries("s", List.of("a", "b"), List.of("c"), List.of(new Number[] {0, 0, 0}, new Number[] {1, 0, 88}));
        map.getStyler().setShowValue(true);
        BoxChart boxes = new BoxChartBuilder().width(300).height(200).build();
        boxes.addSeries("b", new ArrayList<>(List.of(1, 2, 3, 9)));
        return List.of(lines(), bars, pie, map, boxes);
    }

    @ParameterizedTest
    @MethodSource("everyKind")
    void aChartOfTheUsersHasNoBackgroundAndIsAfterwardsAsItWas(Chart<?, ?> chart) {
        BufferedImage file = BitmapEncoder.getBufferedImage(chart);
        BufferedImage page = ChartPage.paint(chart, 2);
        assertEquals("600x400", page.getWidth() + "x" + page.getHeight());
        assertEquals(0, page.getRGB(1, 1) >>> 24, "nothing is drawn in the corner");
        assertTrue(IntStream.range(0, 400).anyMatch(y -> IntStream.range(0, 600).anyMatch(x -> page.getRGB(x, y) >>> 24 == 255)), "something is drawn");
        BufferedImage again = BitmapEncoder.getBufferedImage(chart);
        for (int y = 0; y < file.getHeight(); y++) {
            for (int x = 0; x < file.getWidth(); x++) {
                assertEquals(file.getRGB(x, y), again.getRGB(x, y), "pixel " + x + ", " + y + " of the file");
            }
        }
    }

    @Test
    void whatTheUserHasSetStays() {
        XYChart chart = lines();
        chart.getStyler().setPlotBackgroundColor(new Color(0xffe0e0)).setChartBackgroundColor(new Color(0x202040));
        assertEquals(0xff202040, ChartPage.paint(chart, 1).getRGB(1, 1));
        XYChart themed = new XYChartBuilder().width(300).height(200).theme(ChartTheme.GGPlot2).build();
        themed.addSeries("a", new double[] {0, 1}, new double[] {1, 2});
        assertEquals(255, ChartPage.paint(themed, 1).getRGB(1, 1) >>> 24, "a theme has its own background");
        assertNull(chart.getStyler().getyAxisTickLabelsFormattingFunction());
    }

    @Test
    void labelsOfAnAxisHaveEqualDecimals() {
        TickLabels labels = new TickLabels();
        List.of(0.09731, 0.0123, 0.0, 0.005, 0.09731, 0.0123, 0.0, 0.02, 0.060000000000000005, 0.1).forEach(labels::apply);
        labels.settle();
        assertEquals(List.of("0.00", "0.02", "0.06", "0.10"), List.of(0.0, 0.02, 0.060000000000000005, 0.1).stream().map(labels).toList());
    }

    @Test
    void anInterruptIsNotLostWhileAChartIsDrawn() {
        Thread.currentThread().interrupt();
        ChartPage.paint(lines(), 1);
        assertTrue(Thread.interrupted());
    }
}
