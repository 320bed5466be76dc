package jqlora.cli;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.util.function.Consumer;

/** What a command line did. */
record CommandLines(int status, String out, String err) {
    static CommandLines run(String... args) {
        return run(line -> { }, args);
    }

    /** @param listener hears each line that is printed, on the thread that prints it */
    static CommandLines run(Consumer<String> listener, String... args) {
        StringWriter out = new StringWriter(), err = new StringWriter();
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        PrintStream before = System.out;
        System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8) {
            @Override
            public void println(String line) {
                super.println(line);
                listener.accept(line);
            }
        });
        try {
            int status = Main.commandLine().setOut(new PrintWriter(out, true)).setErr(new PrintWriter(err, true)).execute(args);
            return new CommandLines(status, out + printed.toString(StandardCharsets.UTF_8), err.toString());
        } finally {
            System.setOut(before);
        }
    }
}
