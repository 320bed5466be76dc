package jqlora.inspect;

import java.awt.Color;
import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.knowm.xchart.BoxChartBuilder;
import org.knowm.xchart.BubbleChart;
import org.knowm.xchart.BubbleChartBuilder;
import org.knowm.xchart.CategoryChart;
import org.knowm.xchart.CategoryChartBuilder;
import org.knowm.xchart.BoxChart;
import org.knowm.xchart.DialChartBuilder;
import org.knowm.xchart.DialChart;
import org.knowm.xchart.HeatMapChart;
import org.knowm.xchart.HeatMapChartBuilder;
import org.knowm.xchart.OHLCChart;
import org.knowm.xchart.OHLCChartBuilder;
import org.knowm.xchart.PieChart;
import org.knowm.xchart.PieChartBuilder;
import org.knowm.xchart.RadarChart;
import org.knowm.xchart.RadarChartBuilder;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.internal.chartpart.Chart;
import org.knowm.xchart.internal.series.AxesChartSeries;
import org.knowm.xchart.internal.series.Series.DataType;
import org.knowm.xchart.style.AxesChartStyler;
import org.knowm.xchart.style.HeatMapStyler;
import org.knowm.xchart.style.Styler;
import org.knowm.xchart.style.theme.XChartTheme;

/**
 * Draws a chart for a page that may be light or dark: without a background, in the house style wherever its maker has left XChart's own settings as they
 * were, axes labelled with equal decimals. The chart is afterwards as it was.
 */
public final class ChartPage {
    private static final Color NOTHING = new Color(0, 0, 0, 0);

    private final Chart<?, ?> chart;
    private final Styler styler;
    private boolean adopted;
    private final Map<Property, Object> before = new LinkedHashMap<>();
    private TickLabels xLabels;
    private TickLabels yLabels;

    private ChartPage(Chart<?, ?> chart) {
        this.chart = chart;
        this.styler = chart.getStyler();
    }

    /**
     * {@code chart} at its own size.
     *
     * @param pixelsPerPoint 2 for sharp screens
     * @return with transparency where nothing is drawn
     */
    public static BufferedImage paint(Chart<?, ?> chart, int pixelsPerPoint) {
        Fonts.load();
        synchronized (chart) {
            ChartPage page = new ChartPage(chart);
            try {
                page.adopt();
                return page.paint(pixelsPerPoint);
            } finally {
                page.restore();
            }
        }
    }

    /** Holds what is done once. */
    private static final class Fonts {
        static {
            loadFonts();
        }

        static void load() { }
    }

    /** Java takes down the flag of an interrupted thread that makes it load its fonts: another thread does. */
    private static void loadFonts() {
        Thread loads = Thread.ofPlatform().daemon().name("fonts").start(() -> {      // a lambda of Fonts would wait for Fonts
            Graphics2D graphics = new BufferedImage(1, 1, BufferedImage.TYPE_INT_ARGB).createGraphics();
            for (int style : new int[] {Font.PLAIN, Font.BOLD}) {
                graphics.setFont(new Font(Font.SANS_SERIF, style, 12));
                graphics.drawString("0", 0, 0);
            }
            graphics.dispose();
        });
        boolean interrupted = false;
        while (loads.isAlive()) {
            try {
                loads.join();
            } catch (InterruptedException meanwhile) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private BufferedImage paint(int pixelsPerPoint) {
        if (adopted || xLabels != null || yLabels != null) {
            draw(new BufferedImage(1, 1, BufferedImage.TYPE_INT_ARGB), 1);
            Stream.of(xLabels, yLabels).filter(Objects::nonNull).forEach(TickLabels::settle);
        }
        return draw(new BufferedImage(chart.getWidth() * pixelsPerPoint, chart.getHeight() * pixelsPerPoint, BufferedImage.TYPE_INT_ARGB), pixelsPerPoint);
    }

    private BufferedImage draw(BufferedImage image, int pixelsPerPoint) {
        Graphics2D graphics = image.createGraphics();
        graphics.setRenderingHint(RenderingHints.KEY_TEXT_ANTIALIASING, RenderingHints.VALUE_TEXT_ANTIALIAS_ON);
        graphics.scale(pixelsPerPoint, pixelsPerPoint);
        chart.paint(graphics, chart.getWidth(), chart.getHeight());
        graphics.dispose();
        return image;
    }

    /** A setting of a styler. */
    private record Property(Method getter, Method setter) {
        Object get(Styler styler) {
            return call(getter, styler);
        }

        void set(Styler styler, Object value) {
            call(setter, styler, value);
        }
    }

    private void adopt() {
        properties(styler).forEach(property -> before.put(property, property.get(styler)));
        Styler plain = fresh(), house = fresh();
        boolean ours = ChartStyle.INK.equals(styler.getChartFontColor());
        if (plain == null || !(styler.getTheme() instanceof XChartTheme)) {
            return;                                               // a theme of the user's choice has backgrounds of its own
        }
        ChartStyle.apply(house);
        before.forEach((property, own) -> {
            Object wanted = property.get(house);
            if (!ours && Objects.deepEquals(own, property.get(plain)) && !Objects.deepEquals(own, wanted)) {
                property.set(styler, wanted);
                adopted = true;
            }
        });
        styler.setChartBackgroundColor(seeThrough(styler.getChartBackgroundColor())).setPlotBackgroundColor(seeThrough(styler.getPlotBackgroundColor()))
              .setLegendBackgroundColor(seeThrough(styler.getLegendBackgroundColor())).setLegendBorderColor(seeThrough(styler.getLegendBorderColor()));
        if (styler instanceof AxesChartStyler axes) {
            labels(axes);
        }
        if (styler instanceof HeatMapStyler heatMap && heatMap.isShowValue()) {
            heatMap.setValueFontColor(readable(heatMap.getRangeColors()));
        }
    }

    /** More than once: some settings set others. */
    private void restore() {
        for (int pass = 0; pass < 3; pass++) {
            before.forEach((property, own) -> {
                if (!Objects.deepEquals(property.get(styler), own)) {
                    property.set(styler, own);
                }
            });
        }
        if (adopted) {
            draw(new BufferedImage(1, 1, BufferedImage.TYPE_INT_ARGB), 1);      // XChart lays a chart out by what it measured the last time
        }
    }

    /** The more particular ones last, such as the colour of one axis after that of both. */
    private static List<Property> properties(Styler styler) {
        return Stream.of(styler.getClass().getMethods()).filter(setter -> getter(setter) != null).map(setter -> new Property(getter(setter), setter))
                .sorted(Comparator.comparingInt(property -> property.setter.getName().length())).toList();
    }

    /** White is what a file has; a background of another colour was chosen. */
    private static Color seeThrough(Color color) {
        return Color.WHITE.equals(color) ? NOTHING : color;
    }

    private void labels(AxesChartStyler axes) {
        boolean numbersBelow = (chart instanceof XYChart || chart instanceof BubbleChart) && chart.getSeriesMap().values().stream()
                .allMatch(series -> series instanceof AxesChartSeries own && own.getxAxisDataType() == DataType.Number);
        if (numbersBelow && axes.getxAxisTickLabelsFormattingFunction() == null && axes.getXAxisDecimalPattern() == null && !axes.isXAxisLogarithmic()) {
            xLabels = new TickLabels();
            axes.setxAxisTickLabelsFormattingFunction(xLabels);
        }
        boolean numbersBeside = !(chart instanceof HeatMapChart) && axes.getYAxisGroupDecimalPatternMap().isEmpty();
        if (numbersBeside && axes.getyAxisTickLabelsFormattingFunction() == null && axes.getYAxisDecimalPattern() == null && !axes.isYAxisLogarithmic()) {
            yLabels = new TickLabels();
            axes.setyAxisTickLabelsFormattingFunction(yLabels);
        }
    }

    /** Of white and black the one that is easier to read on the least favourable colour of {@code range}. */
    private static Color readable(Color[] range) {
        return Stream.of(Color.WHITE, Contrast.textOn(Color.WHITE)).max(Comparator.comparingDouble(text -> Stream.iterate(0.0, share -> share <= 1, share -> share + 0.05)
                .mapToDouble(share -> Contrast.ratio(text, Contrast.between(range, share))).min().orElse(1))).orElseThrow();
    }

    /** A styler as XChart makes it for such a chart; null for a kind that is not known. */
    private Styler fresh() {
        return switch (chart) {
            case XYChart lines -> new XYChartBuilder().build().getStyler();
            case CategoryChart bars -> new CategoryChartBuilder().build().getStyler();
            case HeatMapChart map -> new HeatMapChartBuilder().build().getStyler();
            case PieChart pie -> new PieChartBuilder().build().getStyler();
            case BubbleChart bubbles -> new BubbleChartBuilder().build().getStyler();
            case BoxChart boxes -> new BoxChartBuilder().build().getStyler();
            case RadarChart radar -> new RadarChartBuilder().build().getStyler();
            case DialChart dial -> new DialChartBuilder().build().getStyler();
            case OHLCChart candles -> new OHLCChartBuilder().build().getStyler();
            default -> null;
        };
    }

    private static Method getter(Method setter) {
        String name = setter.getName();
        if (!name.startsWith("set") || setter.getParameterCount() != 1 || name.equals("setTheme")) {
            return null;
        }
        for (String prefix : new String[] {"get", "is"}) {
            try {
                Method getter = setter.getDeclaringClass().getMethod(prefix + name.substring(3));
                if (getter.getReturnType() == setter.getParameterTypes()[0]) {
                    return getter;
                }
            } catch (NoSuchMethodException other) {
                // the next prefix
            }
        }
        return null;
    }

    private static Object call(Method method, Object on, Object... arguments) {
        try {
            return method.invoke(on, arguments);
        } catch (IllegalAccessException | InvocationTargetException failed) {
            throw new IllegalStateException("chart style: " + method + " failed", failed);
        }
    }
}
