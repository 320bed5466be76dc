package jqlora.notebook;

import java.time.Duration;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import jqlora.inspect.ChartStyle;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.style.markers.SeriesMarkers;

/**
 * A line chart that grows while a cell runs, in one output, drawn at most twice a second. Points may come from any thread; a line
 * of more than a thousand points is thinned for drawing.
 *
 * <pre>{@code
 * try (LiveChart loss = liveChart("Loss", "step", "loss")) {
 *     for (int step = 1; step <= 100; step++) loss.add("train", step, 1.0 / step);
 * }
 * }</pre>
 */
public final class LiveChart implements Displayable, AutoCloseable {
    private static final Duration INTERVAL = Duration.ofMillis(500);
    private static final int MAX_DRAWN_POINTS = 1_000;
    private static final int WIDTH = 640;
    private static final int HEIGHT = 360;

    private final String title;
    private final String xTitle;
    private final String yTitle;
    private final Map<String, Line> lines = new LinkedHashMap<>();
    private final Display display;

    LiveChart(Screen screen, String title, String xTitle, String yTitle) {
        this.title = title;
        this.xTitle = xTitle;
        this.yTitle = yTitle;
        this.display = new Display(screen, this, INTERVAL);
    }

    /** Adds the point ({@code x}, {@code y}) to the line {@code series}; a value that is not finite leaves a gap. */
    public void add(String series, double x, double y) {
        synchronized (this) {
            lines.computeIfAbsent(series, name -> new Line()).add(x, Double.isFinite(y) ? y : Double.NaN);
        }
        display.update(this);
    }

    /** Draws the chart a last time. */
    @Override
    public void close() {
        display.finish(this);
    }

    /** The chart as it stands, to be changed or kept. */
    public synchronized XYChart chart() {
        XYChart chart = new XYChartBuilder().width(WIDTH).height(HEIGHT).title(title).xAxisTitle(xTitle).yAxisTitle(yTitle).build();
        ChartStyle.apply(chart.getStyler());
        lines.forEach((name, line) -> {
            int stride = Math.ceilDiv(line.size, MAX_DRAWN_POINTS);
            XYSeries series = chart.addSeries(name, line.thinned(line.x, stride), line.thinned(line.y, stride));
            if (line.numbers() == 1) {
                series.setMarker(SeriesMarkers.CIRCLE);            // a line of one point is nothing to see
            }
        });
        return ChartStyle.roundTicks(chart);
    }

    @Override
    public synchronized String text() {
        StringBuilder text = new StringBuilder(title);
        lines.forEach((name, line) -> text.append(text.length() == title.length() ? ": " : "; ").append(name).append(' ')
                .append(Double.isNaN(line.y[line.size - 1]) ? "nan" : ShortNumber.of(line.y[line.size - 1])).append(" at ").append(xTitle).append(' ').append(ShortNumber.of(line.x[line.size - 1])));
        return text.toString();
    }

    @Override
    public String html() {
        return Html.escape(text());
    }

    @Override
    public Optional<PngImage> png() {
        XYChart chart;
        synchronized (this) {                                     // points may come while it is drawn
            boolean drawable = lines.values().stream().anyMatch(line -> line.numbers() > 0);     // XChart has no axis for no number
            chart = drawable ? chart() : null;
        }
        return Optional.ofNullable(chart).map(PngImage::of);
    }

    private static final class Line {
        private double[] x = new double[256];
        private double[] y = new double[256];
        private int size;

        void add(double newX, double newY) {
            if (size == x.length) {
                x = Arrays.copyOf(x, 2 * size);
                y = Arrays.copyOf(y, 2 * size);
            }
            x[size] = newX;
            y[size++] = newY;
        }

        long numbers() {
            return Arrays.stream(y, 0, size).filter(value -> !Double.isNaN(value)).count();
        }

        /** Every {@code stride}-th value, and always the last. */
        double[] thinned(double[] values, int stride) {
            double[] thin = new double[Math.ceilDiv(size, stride)];
            for (int i = 0; i < thin.length; i++) {
                thin[i] = values[Math.min(size - 1, i * stride)];
            }
            thin[thin.length - 1] = values[size - 1];
            return thin;
        }
    }
}
