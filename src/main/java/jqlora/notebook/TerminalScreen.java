package jqlora.notebook;

import java.io.PrintStream;
import java.util.HashMap;
import java.util.Map;

/**
 * Shown values as text. On a terminal an update rewrites its line; into a file or a pipe it is printed every ten seconds and at
 * the end.
 */
final class TerminalScreen implements Screen {
    private static final long PRINT_EVERY_NANOS = 10_000_000_000L;

    private final PrintStream out;
    private final boolean rewrites;
    private final Map<String, Long> printedAt = new HashMap<>();
    private String openLine = "";                                 // the id whose line the cursor stands on

    /** @param rewrites whether {@code out} is a terminal, where a line can be overwritten */
    TerminalScreen(PrintStream out, boolean rewrites) {
        this.out = out;
        this.rewrites = rewrites;
    }

    @Override
    public synchronized void show(Rendered content) {
        closeLine();
        out.println(content.text());
        out.flush();
    }

    @Override
    public synchronized void open(String id, Rendered content) {
        closeLine();
        printedAt.put(id, System.nanoTime());
        if (rewrites && oneLine(content)) {
            out.print(content.text());
            openLine = id;
        } else {
            out.println(content.text());
        }
        out.flush();
    }

    @Override
    public synchronized void update(String id, Rendered content, boolean last) {
        if (rewrites && oneLine(content)) {
            if (!openLine.equals(id)) {
                closeLine();
            }
            out.print("\r" + content.text() + "\u001b[K" + (last ? "\n" : ""));
            openLine = last ? "" : id;
        } else if (last || System.nanoTime() - printedAt.getOrDefault(id, 0L) >= PRINT_EVERY_NANOS) {
            closeLine();
            out.println(content.text());
            printedAt.put(id, System.nanoTime());
        }
        out.flush();
        if (last) {
            printedAt.remove(id);
        }
    }

    @Override
    public void clear() { }

    @Override
    public void atCellEnd(Runnable action) { }

    private void closeLine() {
        if (!openLine.isEmpty()) {
            out.println();
            openLine = "";
        }
    }

    private static boolean oneLine(Rendered content) {
        return content.text().indexOf('\n') < 0;
    }
}
