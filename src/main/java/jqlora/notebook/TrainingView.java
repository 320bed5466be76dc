package jqlora.notebook;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;
import java.util.function.LongSupplier;
import jqlora.inspect.NumberText;
import jqlora.inspect.TrainingChart;
import jqlora.ops.Ops;
import jqlora.train.TrainEvent;
import jqlora.train.TrainListener;
import jqlora.train.TrainResult;

/**
 * Shows a run as it goes, in one output that replaces itself at most twice a second: a bar, how long the rest will take, loss, learning rate, speed, memory,
 * and the chart of the loss, trained and held out.
 */
final class TrainingView implements TrainListener, Displayable {
    private static final Duration INTERVAL = Duration.ofMillis(500);
    private static final int TEXT_CELLS = 20;

    private final Screen screen;
    private final String label;
    private final Ops ops;
    private final LongSupplier nanoClock;
    private final List<TrainEvent.StepEnd> steps = new ArrayList<>();
    private final List<TrainEvent.Evaluated> evaluations = new ArrayList<>();
    private final TimeLeft timeLeft = new TimeLeft();
    private Display display;
    private TrainEvent.Started run;
    private TrainEvent.Ended end;
    private long lastEventAt;
    private int done;
    private int savedAt = -1;
    private String failure = "";

    /** @param ops whose memory is shown; null for what the steps report alone */
    TrainingView(Screen screen, String label, Ops ops, LongSupplier nanoClock) {
        this.screen = screen;
        this.label = label;
        this.ops = ops;
        this.nanoClock = nanoClock;
    }

    @Override
    public void on(TrainEvent event) {
        boolean ended = event instanceof TrainEvent.Ended;
        synchronized (this) {
            take(event);
        }
        show(ended);
    }

    private void take(TrainEvent event) {
        long now = nanoClock.getAsLong();
        switch (event) {
            case TrainEvent.Noticed noticed -> screen.show(Rendered.of(noticed.notice()));
            case TrainEvent.Started started -> {
                run = started;
                done = started.firstStep() - 1;
                steps.removeIf(step -> step.step() >= started.firstStep());
                evaluations.removeIf(evaluated -> evaluated.step() >= started.firstStep());
            }
            case TrainEvent.StepEnd step -> {
                steps.add(step);
                done = step.step();
                timeLeft.step(step.seconds());
            }
            case TrainEvent.Evaluated evaluated -> {
                evaluations.add(evaluated);
                timeLeft.evaluation((now - lastEventAt) / 1e9);
            }
            case TrainEvent.Saved saved -> savedAt = saved.step();
            case TrainEvent.Ended ended -> end = ended;
        }
        lastEventAt = now;
    }

    /** This goes on where {@code before} was stopped: its steps stand in the chart too. */
    synchronized TrainingView after(TrainResult before) {
        steps.addAll(before.steps());
        evaluations.addAll(before.evaluations());
        return this;
    }

    /** The run has ended with {@code error}; what there is stays on the screen. */
    void failed(Throwable error) {
        synchronized (this) {
            failure = error.getMessage() == null ? error.getClass().getSimpleName() : error.getMessage();
        }
        show(true);
    }

    /** What there is of the run in this view so far. */
    synchronized TrainResult soFar() {
        return new TrainResult(steps, evaluations, end == null || end.interrupted());
    }

    private void show(boolean last) {
        Display shown;
        synchronized (this) {
            if (display == null) {
                display = new Display(screen, this, INTERVAL);
                return;
            }
            shown = display;
        }
        if (last) {
            shown.finish(this);
        } else {
            shown.update(this);
        }
    }

    // ---- what is shown

    @Override
    public synchronized String text() {
        if (run == null) {
            return label + (failure.isEmpty() ? ": starting" : ": failed: " + failure);
        }
        int filled = (int) ((long) TEXT_CELLS * done / run.totalSteps());
        return label + " [" + "#".repeat(filled) + ".".repeat(TEXT_CELLS - filled) + "] " + String.join(", ", all());
    }

    @Override
    public String html() {
        List<TrainEvent.StepEnd> shownSteps;
        List<TrainEvent.Evaluated> shownEvaluations;
        String head, line;
        synchronized (this) {
            shownSteps = List.copyOf(steps);
            shownEvaluations = List.copyOf(evaluations);
            head = head();
            line = text();
        }
        boolean drawable = !shownSteps.isEmpty() || !shownEvaluations.isEmpty();
        return head + (drawable ? "<br>" + PngImage.of(TrainingChart.of(shownSteps, shownEvaluations, "")).html("the loss so far: " + line) : "");
    }

    private String head() {
        if (run == null) {
            return "<b>" + Html.escape(label) + "</b>" + Html.escape(failure.isEmpty() ? ": starting" : ": failed: " + failure);
        }
        String bar = "<b>" + Html.escape(label) + "</b> <progress value=\"" + done + "\" max=\"" + run.totalSteps() + "\"></progress> " + Html.escape(String.join(", ", progress()));
        String figures = figures().isEmpty() ? "" : "<br>" + Html.escape(String.join(" \u00b7 ", figures()));
        return bar + figures;
    }

    private List<String> all() {
        List<String> all = new ArrayList<>(progress());
        all.addAll(figures());
        return all;
    }

    private List<String> progress() {
        List<String> parts = new ArrayList<>();
        String count = ShortNumber.grouped(done) + "/" + ShortNumber.grouped(run.totalSteps());
        if (!failure.isEmpty()) {
            parts.add(count);
            parts.add("failed: " + failure);
        } else if (end == null) {
            parts.add(count + " (" + 100L * done / run.totalSteps() + "%)");
            OptionalDouble left = done == run.totalSteps() ? OptionalDouble.empty() : timeLeft.seconds(run.totalSteps() - done);
            left.ifPresent(seconds -> parts.add("about " + ShortNumber.seconds(seconds) + " left"));
        } else if (end.interrupted()) {
            parts.add(savedAt == done ? "stopped: saved at step " + ShortNumber.grouped(done) + " of " + ShortNumber.grouped(run.totalSteps()) + ", run the cell again to go on"
                    : count + ", stopped, not saved");
        } else {
            parts.add(count + " in " + ShortNumber.seconds(end.seconds()));
        }
        return parts;
    }

    private List<String> figures() {
        List<String> parts = new ArrayList<>();
        if (!steps.isEmpty()) {
            double[] smooth = TrainingChart.smoothed(steps.stream().mapToDouble(TrainEvent.StepEnd::loss).toArray());
            parts.add(String.format(Locale.ROOT, "loss %.3f", smooth[smooth.length - 1]));
        }
        if (!evaluations.isEmpty()) {
            parts.add(String.format(Locale.ROOT, "held out %.3f at step %d", evaluations.getLast().loss(), evaluations.getLast().step()));
        }
        if (!steps.isEmpty()) {
            TrainEvent.StepEnd step = steps.getLast();
            parts.add("learning rate " + NumberText.alone(step.learningRate(), 3));
            parts.add(Math.round(step.tokensPerSecond()) + " tokens/s");
            parts.add(memory(step.peakBytes()));
        }
        return parts;
    }

    private String memory(long peakBytes) {
        boolean limited = ops != null && ops.memory().limitBytes() != Long.MAX_VALUE;
        return ShortNumber.bytes(peakBytes) + (limited ? " of " + ShortNumber.bytes(ops.memory().limitBytes()) + " on " + ops.name() : ops == null ? "" : " on " + ops.name());
    }
}
