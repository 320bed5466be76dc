package jqlora.notebook;

import java.time.Duration;
import java.util.UUID;

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

    /** A reader waits no longer for the next picture, however long the last one took: the first one also loads Java's fonts. */
    private static final long LONGEST_PAUSE = Duration.ofSeconds(2).toNanos();
    private static final int SHARE_OF_DRAWING = 15;               // of the time: a picture that takes long is drawn more seldom

    private final String id = UUID.randomUUID().toString();
    private final Screen screen;
    private final long intervalNanos;
    private final Runnable drawAtCellEnd = () -> DrawingThread.now(this::drawPending);
    private Object pending;
    private boolean waiting;
    private boolean timed;
    private boolean last;
    private int failures;
    private long nextAt;

    /** Shows {@code first} on {@code screen}. */
    Display(Screen screen, Object first, Duration interval) {
        this.screen = screen;
        this.intervalNanos = interval.toNanos();
        screen.open(id, Rendered.of(first));
        nextAt = System.nanoTime() + intervalNanos;
    }

    /**
     * Replaces the output by {@code value} in a moment: at once, or when the last drawing is long enough ago. The value is read then, by another thread: a
     * table or a chart that is being changed at that time is drawn as it is when it holds still.
     */
    public void update(Object value) {
        synchronized (this) {
            pending = value;
            waiting = true;
            failures = 0;
            if (timed) {
                return;
            }
            timed = true;
            DrawingThread.later(Math.max(0, nextAt - System.nanoTime()), this::drawPending);
        }
        screen.atCellEnd(drawAtCellEnd);
    }

    /** Replaces the output by {@code value} and returns when that is done; nothing else is expected to follow. */
    public void finish(Object value) {
        synchronized (this) {
            pending = value;
            waiting = true;
            last = true;
            failures = TRIES;
        }
        DrawingThread.now(this::drawPending);
    }

    private void drawPending() {
        Object value;
        boolean end;
        synchronized (this) {
            timed = false;
            if (!waiting) {
                return;
            }
            value = pending;
            end = last;
            pending = null;
            waiting = false;
            last = false;
        }
        long began = System.nanoTime();
        try {
            draw(value, end);
        } catch (RuntimeException changing) {
            again(value, changing, end);
        }
        synchronized (this) {
            long now = System.nanoTime();
            nextAt = now + Math.max(intervalNanos, Math.min(LONGEST_PAUSE, SHARE_OF_DRAWING * (now - began)));
        }
    }

    private void again(Object value, RuntimeException changing, boolean end) {
        synchronized (this) {
            if (waiting) {
                return;                                           // a newer value has come
            }
            if (++failures < TRIES) {
                pending = value;
                waiting = true;
                timed = true;
                DrawingThread.later(intervalNanos, this::drawPending);
                return;
            }
        }
        draw("not drawn: " + changing, end);
    }

    private void draw(Object value, boolean end) {
        screen.update(id, Rendered.of(value), end);
    }
}
