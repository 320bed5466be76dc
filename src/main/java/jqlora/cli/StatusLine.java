package jqlora.cli;

import java.io.PrintStream;

/** Text on a terminal or into a file: lines that stay, and on a terminal one below them that replaces itself. */
final class StatusLine {
    /** Without wrapping, so that a line that is wider than the terminal is cut and still replaced as a whole. */
    private static final String BEGIN = "\r\u001b[?7l", END = "\u001b[K\u001b[?7h";

    private final PrintStream out;
    private final boolean terminal;
    private boolean shown;

    StatusLine(PrintStream out, boolean terminal) {
        this.out = out;
        this.terminal = terminal;
    }

    /** That of this process's standard output. */
    static StatusLine ofProcess() {
        return new StatusLine(System.out, System.console() != null && System.console().isTerminal());
    }

    boolean isTerminal() {
        return terminal;
    }

    /** Prints {@code line}, which stays. */
    synchronized void say(String line) {
        hide();
        out.println(line);
    }

    /** Shows {@code line} in the place of the one that was shown; nothing where there is no terminal. */
    synchronized void show(String line) {
        if (terminal) {
            out.print(BEGIN + line + END);
            out.flush();
            shown = true;
        }
    }

    /** Takes away what {@link #show} has shown. */
    synchronized void hide() {
        if (shown) {
            out.print(BEGIN + END);
            out.flush();
            shown = false;
        }
    }
}
