package jqlora.inspect;

import java.util.List;
import jqlora.train.TrainEvent;
import jqlora.train.TrainResult;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** A run as a picture: the loss of each step, smoothed, and the held-out loss. */
public final class TrainingChart {
    private static final double SMOOTHING = 0.9;

    private TrainingChart() { }

    /** @throws IllegalArgumentException if the run has no step */
    public static XYChart of(TrainResult result, String title) {
        List<TrainEvent.StepEnd> steps = result.steps();
        if (steps.isEmpty()) {
            throw new IllegalArgumentException("training chart: the run has no step, it must have at least one");
        }
        XYChart chart = new XYChartBuilder().width(640).height(380).title(title).xAxisTitle("step").yAxisTitle("loss").build();
        ChartStyle.apply(chart.getStyler());
        double[] x = steps.stream().mapToDouble(TrainEvent.StepEnd::step).toArray(), y = steps.stream().mapToDouble(TrainEvent.StepEnd::loss).toArray();
        chart.addSeries("step", x, y);
        chart.addSeries("smoothed", x, smoothed(y));
        if (!result.evaluations().isEmpty()) {
            chart.addSeries("held out", result.evaluations().stream().mapToDouble(TrainEvent.Evaluated::step).toArray(),
                    result.evaluations().stream().mapToDouble(TrainEvent.Evaluated::loss).toArray()).setMarker(SeriesMarkers.CIRCLE);
        }
        return ChartStyle.roundTicks(chart);
    }

    /** Exponential moving average, corrected for its start. */
    private static double[] smoothed(double[] values) {
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
