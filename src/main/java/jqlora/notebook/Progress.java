package jqlora.notebook;

import java.util.Collection;
import java.util.Iterator;
import java.util.Locale;
import java.util.function.LongSupplier;

/**
 * A bar that shows how much of a known amount of work is done, how fast it goes and how long the rest will take.
 *
 * <pre>{@code
 * try (Progress bar = progress("tokens", texts.size())) {
 *     for (String text : texts) { count(text); bar.step(); }
 * }
 * }</pre>
 */
public final class Progress implements Displayable, AutoCloseable {
    private static final int TEXT_CELLS = 20;

    private final String label;
    private final long total;
    private final LongSupplier nanoClock;
    private final long startedAt;
    private final Display display;
    private long done;
    private String note = "";
    private double secondsAtEnd = Double.NaN;

    Progress(Screen screen, String label, long total, LongSupplier nanoClock) {
        if (total < 1) {
            throw new IllegalArgumentException("progress: total is " + total + ", it must be at least 1");
        }
        this.label = label;
        this.total = total;
        this.nanoClock = nanoClock;
        this.startedAt = nanoClock.getAsLong();
        this.display = new Display(screen, this, Display.DEFAULT_INTERVAL);
    }

    /** One more piece is done. */
    public void step() {
        step(1);
    }

    /** {@code pieces} more are done. */
    public void step(long pieces) {
        synchronized (this) {
            done = Math.min(total, done + pieces);
        }
        display.update(this);
    }

    /** Shows {@code note} behind the figures, such as the current loss. */
    public void note(String note) {
        synchronized (this) {
            this.note = note;
        }
        display.update(this);
    }

    /** Draws the bar a last time, with the time that the work took. */
    @Override
    public void close() {
        synchronized (this) {
            if (!Double.isNaN(secondsAtEnd)) {
                return;
            }
            secondsAtEnd = seconds();
        }
        display.finish(this);
    }

    /** {@code items} with a bar that moves as they are taken. */
    static <T> Iterable<T> over(Screen screen, String label, Collection<T> items) {
        return () -> {
            Iterator<T> each = items.iterator();
            Progress bar = new Progress(screen, label, Math.max(1, items.size()), System::nanoTime);
            return new Iterator<>() {
                private boolean taken;

                @Override
                public boolean hasNext() {
                    if (taken) {
                        bar.step();
                        taken = false;
                    }
                    if (!each.hasNext()) {
                        bar.close();
                        return false;
                    }
                    return true;
                }

                @Override
                public T next() {
                    taken = true;
                    return each.next();
                }
            };
        };
    }

    @Override
    public synchronized String text() {
        int filled = (int) (TEXT_CELLS * done / total);
        return label + " [" + "#".repeat(filled) + ".".repeat(TEXT_CELLS - filled) + "] " + figures();
    }

    @Override
    public synchronized String html() {
        return "<progress value=\"" + done + "\" max=\"" + total + "\"></progress> " + Html.escape(label) + " " + Html.escape(figures());
    }

    private String figures() {
        String count = done + "/" + total;
        double seconds = Double.isNaN(secondsAtEnd) ? seconds() : secondsAtEnd;
        StringBuilder figures = new StringBuilder(count);
        if (!Double.isNaN(secondsAtEnd)) {
            figures.append(" in ").append(ShortNumber.seconds(seconds));
        } else {
            figures.append(" (").append(100 * done / total).append("%)");
            if (done > 0 && seconds > 0) {
                double perSecond = done / seconds;
                figures.append(perSecond >= 1 ? String.format(Locale.ROOT, ", %.1f/s", perSecond) : ", " + ShortNumber.seconds(1 / perSecond) + " each")
                       .append(", ").append(ShortNumber.seconds((total - done) / perSecond)).append(" left");
            }
        }
        return note.isEmpty() ? figures.toString() : figures.append(", ").append(note).toString();
    }

    private double seconds() {
        return (nanoClock.getAsLong() - startedAt) / 1e9;
    }
}
