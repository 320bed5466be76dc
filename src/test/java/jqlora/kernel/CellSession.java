package jqlora.kernel;

import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import jqlora.notebook.Rendered;
import org.dflib.jjava.jupyter.kernel.magic.MagicsRegistry;

/** A notebook without Jupyter around it: cells in, values, printed lines and failures out. */
final class CellSession {
    private final CompilerThread compiler = new CompilerThread();
    private final CellExecution execution = new CellExecution(Duration.ofMillis(800));
    private final CellRunner runner;
    private int cell;
    private String printed = "";

    /** With the imports of every notebook. */
    CellSession() {
        this(Notebook.imports());
    }

    CellSession(List<Notebook.Import> imports) {
        PrintStream err = System.err;
        System.setErr(compiler.guard(err));
        try {
            runner = new CellRunner(null, new MagicsRegistry(), execution, compiler);
            runner.shell().importAll(imports);
        } finally {
            System.setErr(err);
        }
    }

    CellExecution execution() {
        return execution;
    }

    /** Number of the last cell. */
    int cell() {
        return cell;
    }

    /** What the last cell and what it left behind printed. */
    String printed() {
        return printed;
    }

    /** The value of {@code source}, run as the next cell. */
    Object run(String source) throws CellFailure {
        return captured(source, false);
    }

    /** The value of {@code source} as a notebook shows it; null where there is none. */
    String shown(String source) throws CellFailure {
        return (String) captured(source, true);
    }

    private Object captured(String source, boolean drawn) throws CellFailure {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        PrintStream out = System.out;
        PrintStream err = System.err;
        System.setOut(new PrintStream(bytes, true, StandardCharsets.UTF_8));
        System.setErr(compiler.guard(err));
        try {
            execution.beginCell();
            return runner.run(++cell, source, value -> drawn ? Rendered.of(value).text() : value);
        } finally {
            System.setOut(out);
            System.setErr(err);
            printed = bytes.toString(StandardCharsets.UTF_8);
        }
    }

    CellFailure failure(String source) {
        return assertThrows(CellFailure.class, () -> shown(source));
    }

    /** The lines of a failure as the notebook shows them, without colour. */
    List<String> lines(String source) {
        return lines(failure(source));
    }

    static List<String> lines(CellFailure failure) {
        return failure.lines().stream().map(line -> line.replaceAll("\u001b\\[[\\d;]+m", "")).toList();
    }
}
