package jqlora.cli;

import java.util.Locale;
import java.util.OptionalDouble;
import jqlora.notebook.ShortNumber;
import jqlora.notebook.TimeLeft;
import jqlora.train.TrainEvent;
import jqlora.train.TrainListener;

/** A run as text: on a terminal one line that replaces itself, else a line every few steps. */
final class TrainReport implements TrainListener {
    private static final int CELLS = 16;

    private final StatusLine out;
    private final int everySteps;
    private final TimeLeft timeLeft = new TimeLeft();
    private TrainEvent.Started run;
    private long lastEventAt = System.nanoTime();
    private boolean stopped;

    /** @param everySteps steps between two lines where there is no terminal */
    TrainReport(StatusLine out, int everySteps) {
        this.out = out;
        this.everySteps = everySteps;
    }

    @Override
    public void on(TrainEvent event) {
        long now = System.nanoTime();
        switch (event) {
            case TrainEvent.Noticed noticed -> out.say(noticed.notice());
            case TrainEvent.Started started -> {
                run = started;
                String from = wasDone() ? ", all of which are done"
                        : started.firstStep() > 1 ? "; it goes on at step " + started.firstStep() : "";
                out.say(String.format(Locale.ROOT, "training %,d parameters on %d rows, %d steps%s", started.trainedParameters(),
                        started.rows(), started.totalSteps(), from));
            }
            case TrainEvent.StepEnd step -> step(step);
            case TrainEvent.Evaluated evaluated -> {
                timeLeft.evaluation((now - lastEventAt) / 1e9);
                out.say(String.format(Locale.ROOT, "held-out loss %.4f (perplexity %.2f) %s", evaluated.loss(), Math.exp(evaluated.loss()),
                        evaluated.step() == 0 ? "before the first step" : "after step " + evaluated.step()));
            }
            case TrainEvent.Saved saved -> {
                if (!out.isTerminal()) {
                    out.say("saved " + saved.folder());
                }
            }
            case TrainEvent.Ended ended -> out.hide();
        }
        lastEventAt = now;
    }

    private void step(TrainEvent.StepEnd step) {
        timeLeft.step(step.seconds());
        if (out.isTerminal()) {
            int filled = (int) ((long) CELLS * step.step() / run.totalSteps());
            out.show("[" + "#".repeat(filled) + ".".repeat(CELLS - filled) + "] " + line(step) + (stopped ? ", stopping" : ""));
        } else if (step.step() % everySteps == 0 || step.step() == run.totalSteps()) {
            out.say(line(step));
        }
    }

    private String line(TrainEvent.StepEnd step) {
        OptionalDouble left = timeLeft.seconds(run.totalSteps() - step.step());
        String rest = left.isPresent() ? ShortNumber.seconds(left.getAsDouble()) + " left" : "time left not known yet";
        return String.format(Locale.ROOT, "step %d/%d, loss %.4f, lr %.2e, %.0f tokens/s, %s, %s", step.step(), run.totalSteps(),
                step.loss(), step.learningRate(), step.tokensPerSecond(), ShortNumber.bytes(step.peakBytes()), rest);
    }

    /** The process is to end; it waits for the step. */
    void stopping() {
        stopped = true;
        out.say("stopping after this step");
    }

    /** Whether no step was left when the run began. */
    boolean wasDone() {
        return run != null && run.firstStep() > run.totalSteps();
    }
}
