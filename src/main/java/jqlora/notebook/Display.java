package jqlora.notebook;

import java.time.Duration;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * One output that replaces itself. Updates may come from any thread, also after the cell has ended, and as often as one likes:
 * they are drawn at most every so often, and the last one is always drawn.
 *
 * <pre>{@code
 * Display d = display("starting");
 * for (int i = 0; i < 1000; i++) d.update("step " + i);
 * }</pre>
 */
public final class Display {
    static final Duration DEFAULT_INTERVAL = Duration.ofMillis(100);
    private static final int TRIES = 3;

    private final String id = UUID.randomUUID().toString();
    private final Screen screen;
    private final long intervalNanos;
    private final Runnable drawPending = this::drawPending;
    private Object pending;
    private boolean waiting;
    private int failures;
    private long drawnAt;

    /** Shows {@code first} on {@code screen}. */
    Display(Screen screen, Object first, Duration interval) {
        this.screen = screen;
        this.intervalNanos = interval.toNanos();
        screen.open(id, Rendered.of(first));
        drawnAt = System.nanoTime();
    }

    /**
     * Replaces the output by {@code value}, now or, if the last drawing is too recent, in a moment. A value drawn in a moment is
     * read then: a table or a chart that another thread is changing at that time is drawn as it is when it holds still.
     */
    public synchronized void update(Object value) {
        long wait = drawnAt + intervalNanos - System.nanoTime();
        if (wait <= 0) {
            waiting = false;
            draw(value, false);
        } else {
            boolean timed = waiting;
            pending = value;
            waiting = true;
            failures = 0;
            if (!timed) {
                screen.atCellEnd(drawPending);
                drawAfter(wait);
            }
        }
    }

    /** Replaces the output by {@code value} at once; nothing else is expected to follow. */
    public synchronized void finish(Object value) {
        waiting = false;
        draw(value, true);
    }

    private void draw(Object value, boolean last) {
        pending = null;
        screen.update(id, Rendered.of(value), last);
        drawnAt = System.nanoTime();
    }

    private void drawAfter(long nanos) {
        CompletableFuture.delayedExecutor(nanos, TimeUnit.NANOSECONDS).execute(drawPending);
    }

    private synchronized void drawPending() {
        if (!waiting) {
            return;
        }
        Object value = pending;
        waiting = false;
        try {
            draw(value, false);
        } catch (RuntimeException changing) {
            if (++failures < TRIES) {
                pending = value;
                waiting = true;
                drawAfter(intervalNanos);
            } else {
                draw("not drawn: " + changing, false);
            }
        }
    }
}
