package jqlora.notebook;

import java.util.Collection;

/**
 * The front door for notebooks: every method is there without a prefix in our kernel, and after
 * {@code import static jqlora.notebook.Qlora.*;} anywhere else. In a notebook values appear as tables, pictures and bars; on the
 * command line as text.
 */
public final class Qlora {
    private Qlora() { }

    /** Shows {@code value} below the cell: a table, a chart, an array, one of our reports, or anything else as text. */
    public static void show(Object value) {
        Screen.current().show(Rendered.of(value));
    }

    /** Shows {@code table} in at most {@code rows} rows. */
    public static void show(Object table, int rows) {
        Screen.current().show(Rendered.of(table, rows));
    }

    /** Shows {@code value} like {@link #show(Object)} and returns the handle that replaces it. */
    public static Display display(Object value) {
        return new Display(Screen.current(), value, Display.DEFAULT_INTERVAL);
    }

    /**
     * A progress bar for {@code total} pieces of work; close it at the end.
     *
     * @param total at least 1
     */
    public static Progress progress(String label, long total) {
        return new Progress(Screen.current(), label, total, System::nanoTime);
    }

    /** {@code items} for a for-each loop, with a bar that moves as they are taken. */
    public static <T> Iterable<T> progress(String label, Collection<T> items) {
        return Progress.over(Screen.current(), label, items);
    }

    /** A line chart that grows as points are added to it; close it at the end. */
    public static LiveChart liveChart(String title, String xTitle, String yTitle) {
        return new LiveChart(Screen.current(), title, xTitle, yTitle);
    }
}
