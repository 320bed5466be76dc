package jqlora.inspect;

import java.awt.Color;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import jqlora.train.TrainEvent;
import jqlora.train.TrainResult;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** A run as a picture: the loss of each step, smoothed, and the held-out loss, each of its points marked. */
public final class TrainingChart {
    private static final double SMOOTHING = 0.9;
    private static final int MAX_DRAWN_POINTS = 1_000, FEWEST_STEPS = 10, WIDTH = 640, HEIGHT = 360;

    private TrainingChart() { }

    /** @throws IllegalArgumentException if the run has no step */
    public static XYChart of(TrainResult result, String title) {
        if (result.steps().isEmpty()) {
            throw new IllegalArgumentException("training chart: the run has no step, it must have at least one");
        }
        return of(result.steps(), result.evaluations(), title);
    }

    /**
     * The chart of a run that may be under way. Of more than a thousand steps every second, third ... one is drawn, and the last.
     *
     * @throws IllegalArgumentException if there is neither a step nor an evaluation
     */
    public static XYChart of(List<TrainEvent.StepEnd> steps, List<TrainEvent.Evaluated> evaluations, String title) {
        if (steps.isEmpty() && evaluations.isEmpty()) {
            throw new IllegalArgumentException("training chart: there is neither a step nor an evaluation, there must be one");
        }
        XYChart chart = new XYChartBuilder().width(WIDTH).height(HEIGHT).title(title).xAxisTitle("step").yAxisTitle("loss").build();
        ChartStyle.apply(chart.getStyler());
        Color trained = ChartStyle.series().getFirst(), heldOut = ChartStyle.series().get(1);
        if (!steps.isEmpty()) {
            int[] drawn = thinned(steps.size());
            double[] losses = steps.stream().mapToDouble(TrainEvent.StepEnd::loss).toArray(), averages = smoothed(losses);
            double[] x = IntStream.of(drawn).mapToDouble(i -> steps.get(i).step()).toArray();
            XYSeries each = chart.addSeries("step", x, IntStream.of(drawn).mapToDouble(i -> losses[i]).toArray());
            each.setLineWidth(1.2f).setLineColor(new Color(trained.getRed(), trained.getGreen(), trained.getBlue(), 170));
            each.setMarker(steps.size() == 1 ? SeriesMarkers.CIRCLE : SeriesMarkers.NONE).setMarkerColor(trained);      // a line of one point is nothing to see
            XYSeries smooth = chart.addSeries("smoothed", x, IntStream.of(drawn).mapToDouble(i -> averages[i]).toArray());
            smooth.setLineWidth(2.4f).setLineColor(trained);
        }
        if (!evaluations.isEmpty()) {
            XYSeries points = chart.addSeries("held out", evaluations.stream().mapToDouble(TrainEvent.Evaluated::step).toArray(),
                    evaluations.stream().mapToDouble(TrainEvent.Evaluated::loss).toArray());
            points.setLineWidth(1.8f).setLineColor(heldOut);
            points.setMarker(SeriesMarkers.CIRCLE).setMarkerColor(heldOut);
        }
        ChartStyle.roundTicks(chart);
        int last = Math.max(steps.isEmpty() ? 0 : steps.getLast().step(), evaluations.isEmpty() ? 0 : evaluations.getLast().step());
        if (last < FEWEST_STEPS) {
            chart.getStyler().setXAxisMax(FEWEST_STEPS * 1.001);  // no half steps on the axis
        }
        return chart;
    }

    /**
     * Several runs in one picture: the smoothed loss of each, under its name.
     *
     * @param runs name and run, each with at least one step
     * @throws IllegalArgumentException if there is no run, or one has no step
     */
    public static XYChart compare(Map<String, TrainResult> runs, String title) {
        if (runs.isEmpty()) {
            throw new IllegalArgumentException("training chart: there is no run to compare, there must be at least one");
        }
        XYChart chart = new XYChartBuilder().width(WIDTH).height(HEIGHT).title(title).xAxisTitle("step").yAxisTitle("smoothed loss").build();
        ChartStyle.apply(chart.getStyler());
        runs.forEach((name, run) -> {
            if (run.steps().isEmpty()) {
                throw new IllegalArgumentException("training chart: the run \"" + name + "\" has no step, it must have at least one");
            }
            int[] drawn = thinned(run.steps().size());
            double[] averages = smoothed(run.steps().stream().mapToDouble(TrainEvent.StepEnd::loss).toArray());
            XYSeries line = chart.addSeries(name, IntStream.of(drawn).mapToDouble(i -> run.steps().get(i).step()).toArray(), IntStream.of(drawn).mapToDouble(i -> averages[i]).toArray());
            line.setMarker(run.steps().size() == 1 ? SeriesMarkers.CIRCLE : SeriesMarkers.NONE);
        });
        return ChartStyle.roundTicks(chart);
    }

    private static int[] thinned(int size) {
        int stride = Math.ceilDiv(size, MAX_DRAWN_POINTS);
        return IntStream.concat(IntStream.range(0, Math.ceilDiv(size, stride) - 1).map(i -> i * stride), IntStream.of(size - 1)).toArray();
    }

    /** Exponential moving average, corrected for its start: at each step of that step and those before. */
    public static double[] smoothed(double[] values) {
        double[] smoothed = new double[values.length];
        double average = 0, weight = 0;
        for (int i = 0; i < values.length; i++) {
            average = SMOOTHING * average + (1 - SMOOTHING) * values[i];
            weight = SMOOTHING * weight + (1 - SMOOTHING);
            smoothed[i] = average / weight;
        }
        return smoothed;
    }
}
