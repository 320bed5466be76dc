package jqlora.notebook;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

class DisplayTest {
    private final RecordingScreen screen = new RecordingScreen();

    private void awaitLast(String expected) throws InterruptedException {
        for (int i = 0; i < 200 && !screen.shown().getLast().equals(expected); i++) {
            Thread.sleep(20);
        }
        assertEquals(expected, screen.shown().getLast());
    }

    @Test
    void manyUpdatesAreDrawnSeldomAndTheLastAlways() throws InterruptedException {
        Display display = new Display(screen, "start", Duration.ofMillis(300));
        for (int i = 0; i < 1_000; i++) {
            display.update(i);
        }
        awaitLast("update 999");
        assertTrue(screen.shown().size() <= 4, screen.shown()::toString);
    }

    @Test
    void whoUpdatesDoesNotDrawAndIsNotDisturbed() throws InterruptedException {
        Display display = new Display(screen, "start", Duration.ofMillis(1));
        AtomicReference<String> drawnBy = new AtomicReference<>();
        Object value = new Object() {
            @Override
            public String toString() {
                drawnBy.set(Thread.currentThread().getName());
                Thread.interrupted();                             // as Java's graphics do
                return "drawn";
            }
        };
        Thread.currentThread().interrupt();
        display.update(value);
        assertTrue(Thread.interrupted(), "the flag of the thread that updates");
        awaitLast("update drawn");
        assertEquals("notebook-drawing", drawnBy.get());
        Thread.currentThread().interrupt();
        display.finish(value);
        assertTrue(Thread.interrupted(), "the flag of the thread that finishes");
        assertEquals("last drawn", screen.shown().getLast());
    }

    @Test
    void theEndOfTheCellDrawsWhatIsWaiting() {
        Display display = new Display(screen, "start", Duration.ofHours(1));
        display.update("waiting");
        assertEquals(List.of("open start"), screen.shown());
        screen.atCellEnd.forEach(Runnable::run);
        assertEquals(List.of("open start", "update waiting"), screen.shown());
    }

    @Test
    void finishingDrawsAtOnceAndOvertakesWhatIsWaiting() {
        Display display = new Display(screen, "start", Duration.ofHours(1));
        display.update("waiting");
        display.finish("done");
        screen.atCellEnd.forEach(Runnable::run);
        assertEquals(List.of("open start", "last done"), screen.shown());
    }

    @Test
    void aValueThatIsBeingChangedIsDrawnWhenItHoldsStill() throws InterruptedException {
        Display display = new Display(screen, "start", Duration.ofMillis(50));
        AtomicLong asked = new AtomicLong();
        display.update(new Object() {
            @Override
            public String toString() {
                if (asked.incrementAndGet() < 2) {
                    throw new java.util.ConcurrentModificationException();
                }
                return "still";
            }
        });
        awaitLast("update still");
    }

    @Test
    void progressTellsRateAndRest() {
        AtomicLong clock = new AtomicLong();
        Progress bar = new Progress(screen, "tokens <1>", 200, clock::get);
        assertEquals("tokens <1> [....................] 0/200 (0%)", bar.text());
        clock.set(4_000_000_000L);
        bar.step(50);
        bar.note("loss 2.5");
        assertEquals("tokens <1> [#####...............] 50/200 (25%), 12.5/s, 12 s left, loss 2.5", bar.text());
        assertEquals("<progress value=\"50\" max=\"200\"></progress> tokens &lt;1&gt; 50/200 (25%), 12.5/s, 12 s left, loss 2.5", bar.html());
        clock.set(20_000_000_000L);
        bar.step(1_000);
        bar.close();
        bar.close();
        assertEquals("last tokens <1> [####################] 200/200 in 20 s, loss 2.5", screen.shown().getLast());
        assertEquals("progress: total is 0, it must be at least 1",
                assertThrows(IllegalArgumentException.class, () -> new Progress(screen, "x", 0, clock::get)).getMessage());
    }

    @Test
    void progressOverACollectionCountsWhatIsTaken() {
        List<String> taken = new ArrayList<>();
        for (String item : Progress.over(screen, "items", List.of("a", "b"))) {
            taken.add(item);
        }
        assertEquals(List.of("a", "b"), taken);
        assertTrue(screen.shown().getLast().startsWith("last items [####################] 2/2 in "), screen.shown()::toString);
    }

    @Test
    void aLiveChartDrawsItsLinesAndThinsThem() {
        LiveChart chart = new LiveChart(screen, "Loss", "step", "loss");
        assertEquals("Loss", screen.shown().getFirst().substring(5));
        assertTrue(chart.png().isEmpty());
        chart.add("broken", 0, Double.POSITIVE_INFINITY);
        assertTrue(chart.png().isEmpty());
        for (int i = 0; i < 5_000; i++) {
            chart.add("train", i, 10.0 / (i + 1));
        }
        chart.add("eval", 1, 3);
        chart.close();
        assertEquals("Loss: broken nan at step 0; train 0.002 at step 4999; eval 3 at step 1", chart.text());
        var train = chart.chart().getSeriesMap().get("train");
        assertEquals(1_000, train.getXData().length);
        assertEquals(4_999, train.getXData()[999]);
        assertTrue(screen.contents.getLast().png().isPresent());
        assertTrue(screen.shown().size() < 10, screen.shown()::toString);
    }

    @Test
    void onATerminalALineIsRewrittenAndInAFileOnlyTheEndIsPrinted() {
        assertEquals("a\rb\u001b[K\rc\u001b[K\ntable\n", onTerminal(true));
        assertEquals("a\nc\ntable\n", onTerminal(false));
    }

    private static String onTerminal(boolean rewrites) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        Screen terminal = new TerminalScreen(new PrintStream(bytes, true, StandardCharsets.UTF_8), rewrites);
        terminal.open("1", Rendered.text("a"));
        terminal.update("1", Rendered.text("b"), false);
        terminal.update("1", Rendered.text("c"), true);
        terminal.show(Rendered.text("table"));
        return bytes.toString(StandardCharsets.UTF_8).replace(System.lineSeparator(), "\n");
    }
}
