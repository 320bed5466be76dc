package jqlora.notebook;

import java.util.Locale;
import jqlora.train.TrainEvent;
import jqlora.train.TrainListener;

/** Shows a run as it goes: a bar with loss, tokens a second and the time left, and a chart of the loss, both in place. */
final class TrainingView implements TrainListener {
    private static final double SMOOTHING = 0.9;

    private final Screen screen;
    private final String label;
    private Progress bar;
    private LiveChart chart;
    private double average;
    private double weight;
    private String heldOut = "";
    private String pace = "";

    TrainingView(Screen screen, String label) {
        this.screen = screen;
        this.label = label;
    }

    @Override
    public void on(TrainEvent event) {
        switch (event) {
            case TrainEvent.Noticed noticed -> screen.show(Rendered.of(noticed.notice()));
            case TrainEvent.Started started -> {
                bar = new Progress(screen, label, started.totalSteps(), System::nanoTime);
                bar.step(started.firstStep() - 1L);
                chart = new LiveChart(screen, label, "step", "loss");
            }
            case TrainEvent.StepEnd step -> {
                average = SMOOTHING * average + (1 - SMOOTHING) * step.loss();
                weight = SMOOTHING * weight + (1 - SMOOTHING);
                chart.add("step", step.step(), step.loss());
                chart.add("smoothed", step.step(), average / weight);
                bar.step();
                pace = String.format(Locale.ROOT, ", %.0f tokens/s, %.0f MB", step.tokensPerSecond(), step.peakBytes() / 1e6);
                note();
            }
            case TrainEvent.Evaluated evaluated -> {
                heldOut = String.format(Locale.ROOT, ", held out %.3f", evaluated.loss());
                chart.add("held out", evaluated.step(), evaluated.loss());
                note();
            }
            case TrainEvent.Saved saved -> { }
            case TrainEvent.Ended ended -> {
                chart.close();
                bar.close();
            }
        }
    }

    private void note() {
        if (weight > 0) {
            bar.note(String.format(Locale.ROOT, "loss %.3f%s%s", average / weight, heldOut, pace));
        }
    }
}
