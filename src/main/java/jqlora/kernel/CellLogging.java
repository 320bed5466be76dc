package jqlora.kernel;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogManager;
import java.util.logging.LogRecord;
import java.util.logging.Logger;

/**
 * Where java.util.logging writes in a notebook: what a cell logs itself stands below it, warnings in red; what libraries log goes
 * to the terminal of the server, from warnings on. The JDK makes one of these when logging is first used.
 */
public final class CellLogging {
    /** Called by {@link LogManager}, which {@link #install} has told of this class. */
    public CellLogging() {
        LogManager.getLogManager().reset();
        Logger root = Logger.getLogger("");
        root.setLevel(Level.INFO);
        root.addHandler(new CellHandler());
    }

    /** From here on logging is set up by this class, unless a file or another class is named already. */
    static void install() {
        if (System.getProperty("java.util.logging.config.file") == null && System.getProperty("java.util.logging.config.class") == null) {
            System.setProperty("java.util.logging.config.class", CellLogging.class.getName());
        }
    }

    private static final class CellHandler extends Handler {
        private final PrintStream terminal = new PrintStream(new FileOutputStream(FileDescriptor.err), true, StandardCharsets.UTF_8);

        @Override
        public void publish(LogRecord entry) {
            boolean warning = entry.getLevel().intValue() >= Level.WARNING.intValue();
            boolean ofCell = String.valueOf(entry.getSourceClassName()).startsWith("REPL.");
            if (!ofCell && !warning) {
                return;
            }
            PrintStream to = !ofCell ? terminal : warning ? System.err : System.out;
            String message = new java.util.logging.SimpleFormatter().formatMessage(entry);
            to.println(entry.getLevel().getName() + (ofCell ? "" : " " + entry.getLoggerName()) + ": " + message
                    + (entry.getThrown() == null ? "" : " (" + ErrorText.withoutSnippets(String.valueOf(entry.getThrown())) + ")"));
        }

        @Override
        public void flush() { }

        @Override
        public void close() { }
    }
}
