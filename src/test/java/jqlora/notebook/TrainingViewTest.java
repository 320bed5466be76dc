package jqlora.notebook;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.List;
import java.util.OptionalDouble;
import java.util.concurrent.atomic.AtomicLong;
import jqlora.train.TrainEvent;
import org.junit.jupiter.api.Test;

class TrainingViewTest {
    private final RecordingScreen screen = new RecordingScreen();
    private final AtomicLong clock = new AtomicLong();
    private final TrainingView view = new TrainingView(screen, "en <1>", null, clock::get);

    private static TrainEvent.StepEnd step(int number, double loss, double seconds) {
        return new TrainEvent.StepEnd(number, 0.1 * number, loss, 1, 1.9e-3, 1_000, seconds, 134_000_000);
    }

    private void start(int total) {
        view.on(new TrainEvent.Started(total, 1, 100, 40, 2_000));
    }

    @Test
    void theHeldOutLossIsSeenBeforeTheFirstStep() {
        start(240);
        view.on(new TrainEvent.Evaluated(0, 4.663));
        assertEquals("en <1> [....................] 0/240 (0%), held out 4.663 at step 0", view.text());
        String html = view.html();
        assertTrue(html.startsWith("<b>en &lt;1&gt;</b> <progress value=\"0\" max=\"240\"></progress> 0/240 (0%)<br>held out 4.663 at step 0<br><img src=\"data:image/png;base64,"), html.substring(0, 200));
    }

    @Test
    void everyFigureIsThatOfTheNewestStep() {
        start(240);
        view.on(new TrainEvent.Evaluated(0, 4.663));
        view.on(step(1, 4, 1));
        view.on(step(2, 2, 0.5));
        double smoothed = (4 * 0.09 + 2 * 0.1) / 0.19;
        assertEquals(String.format("en <1> [....................] 2/240 (0%%), loss %.3f, held out 4.663 at step 0, learning rate 0.0019, 2000 tokens/s, 134 MB", smoothed), view.text());
        assertFalse(view.html().contains("<script") || view.html().contains("<style"));
    }

    @Test
    void allOfItIsOneOutput() {
        start(2);
        view.on(new TrainEvent.Evaluated(0, 4.5));
        view.on(step(1, 4, 1));
        view.on(step(2, 4, 1));
        view.on(new TrainEvent.Evaluated(2, 3.5));
        view.on(new TrainEvent.Ended(2, false, 12));
        assertEquals(1, screen.shown().stream().filter(shown -> shown.startsWith("open ")).count());
        assertEquals("last en <1> [####################] 2/2 in 12 s, loss 4.000, held out 3.500 at step 2, learning rate 0.0019, 1000 tokens/s, 134 MB", screen.shown().getLast());
        assertTrue(screen.shown().size() <= 3, screen.shown()::toString);
    }

    @Test
    void whatWasStoppedSaysWhetherItIsSaved() {
        start(240);
        view.on(step(1, 4, 1));
        view.on(new TrainEvent.Saved(1, Path.of("x")));
        view.on(new TrainEvent.Ended(1, true, 2));
        assertTrue(view.text().contains("stopped: saved at step 1 of 240, run the cell again to go on, loss"), view.text());
        assertTrue(view.soFar().interrupted());
        TrainingView other = new TrainingView(screen, "x", null, clock::get);
        other.on(new TrainEvent.Started(240, 1, 100, 40, 2_000));
        other.on(step(1, 4, 1));
        other.on(new TrainEvent.Ended(1, true, 2));
        assertTrue(other.text().contains("1/240, stopped, not saved"), other.text());
    }

    @Test
    void aRunThatGoesOnHasItsEarlierSteps() {
        start(240);
        view.on(step(1, 4, 1));
        view.on(step(2, 4, 1));
        TrainingView next = new TrainingView(screen, "x", null, clock::get).after(view.soFar());
        next.on(new TrainEvent.Started(240, 2, 100, 40, 2_000));
        next.on(step(2, 3, 1));
        assertEquals(List.of(1, 2), next.soFar().steps().stream().map(TrainEvent.StepEnd::step).toList());
        assertEquals(3, next.soFar().steps().getLast().loss(), "the second step was done again");
    }

    @Test
    void aFailureIsShown() {
        assertEquals("en <1>: starting", view.text());
        view.failed(new IllegalStateException("no room <for> it"));
        assertEquals("open en <1>: failed: no room <for> it", screen.shown().getLast());
        start(5);
        view.on(step(1, 4, 1));
        view.failed(new IllegalStateException("no room <for> it"));
        assertTrue(view.text().contains("1/5, failed: no room <for> it") && view.html().contains("failed: no room &lt;for&gt; it"), view.text());
    }

    @Test
    void nothingIsSaidOfTheRestBeforeItMeansSomething() {
        TimeLeft left = new TimeLeft();
        left.step(100);
        left.step(50);
        assertEquals(OptionalDouble.empty(), left.seconds(240), "warm-up");
        left.step(1);
        left.step(1);
        assertEquals(OptionalDouble.empty(), left.seconds(240), "too few steps");
        left.step(3);
        assertEquals(240, left.seconds(240).orElseThrow(), "the middle one; the slow first steps do not count");
        left.evaluation(10);
        assertEquals(10 + 2.0, left.seconds(10).orElseThrow() - 10 / 5.0 * 10 + 2, 1e-9, "an evaluation after five steps comes twice in ten");
    }

    @Test
    void fastStepsAreWatchedForTwoSecondsFirst() {
        TimeLeft left = new TimeLeft();
        for (int i = 0; i < 20; i++) {
            left.step(0.01);
        }
        assertEquals(OptionalDouble.empty(), left.seconds(100));
        for (int i = 0; i < 10; i++) {
            left.step(0.01);
        }
        assertEquals(1, left.seconds(100).orElseThrow(), 1e-9);
    }
}
