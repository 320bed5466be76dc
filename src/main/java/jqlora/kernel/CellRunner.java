package jqlora.kernel;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import jqlora.kernel.CellSource.Java;
import jqlora.kernel.CellSource.Magic;
import jqlora.kernel.CellSource.Piece;
import org.dflib.jjava.jupyter.kernel.BaseKernel;
import org.dflib.jjava.jupyter.kernel.magic.MagicsRegistry;

/** Runs a cell: its Java through {@link JavaShell}, its magics by name, and draws its value. */
final class CellRunner {
    private static final Pattern ARGUMENT = Pattern.compile("\"([^\"]*)\"|'([^']*)'|(\\S+)");

    private final BaseKernel kernel;
    private final MagicsRegistry magics;
    private final CellExecution execution;
    private final CompilerThread compiler;
    private final CellLog log;
    private final JavaShell shell;
    private int filesLoaded;

    CellRunner(BaseKernel kernel, MagicsRegistry magics, CellExecution execution, CompilerThread compiler) {
        this.kernel = kernel;
        this.magics = magics;
        this.execution = execution;
        this.compiler = compiler;
        this.log = new CellLog(execution.moved());
        this.shell = new JavaShell(execution, log, compiler);
        new NotebookMagics(execution, new NotebookMagics.Host() {
            @Override
            public void addToClassPath(Path jarOrFolder) {
                shell.addToClassPath(jarOrFolder);
            }

            @Override
            public Object run(String source) throws CellFailure {
                return runLoaded(source);
            }
        }).register(magics);
    }

    JavaShell shell() {
        return shell;
    }

    /**
     * Runs {@code source} as cell number {@code cell} and returns what {@code draw} makes of its value, or null where it has
     * none. Both happen on the cells' thread.
     */
    <T> T run(int cell, String source, Function<Object, T> draw) throws CellFailure {
        return compiler.call(() -> {
            log.cell(cell, source);
            try {
                return draw(cell, run(cell, parse(source)), draw);
            } finally {
                shell.takeAftermath().forEach(System.out::println);
            }
        });
    }

    /**
     * Evaluates {@code expression}, which the front end sent along with a cell, and returns what {@code draw} makes of its value, or
     * null where it has none.
     */
    <T> T evaluate(String expression, Function<Object, T> draw) throws CellFailure {
        return run(CellLog.SENT_ALONG, expression, draw);
    }

    /** The cell taken apart; a name after {@code %} that is no magic is one of Java's where an expression may go on. */
    private CellSource parse(String source) {
        shell.prepare(CellSource.blanked(source));
        return CellSource.parse(source, name -> name.equals("time") || magics.getLineMagicNames().contains(name), shell::endsStatement);
    }

    private <T> T draw(int cell, Object value, Function<Object, T> draw) throws CellFailure {
        if (value == null) {
            return null;
        }
        execution.forgive();                                      // one that nobody has heard came too late
        T drawn = execution.call(() -> draw.apply(value));
        if (execution.takeEnding() instanceof CellExecution.Ending.Failed failed) {
            throw shell.errors().notShown(cell, value.getClass(), failed.thrown(), execution.interrupted());
        }
        return drawn;                                             // none where an interrupt came before it was drawn
    }

    private Object run(int cell, CellSource source) throws CellFailure {
        if (source.cellMagic().isEmpty()) {
            return run(cell, source.pieces());
        }
        Magic magic = source.cellMagic().get();
        if (magic.name().equals("time")) {
            return timed(() -> run(cell, source.pieces()));
        }
        if (!magics.getCellMagicNames().contains(magic.name())) {
            throw unknown("%%", magic.name(), magics.getCellMagicNames());
        }
        String body = String.join("\n", List.of(log.lines(cell)).subList(magic.firstLine(), log.lines(cell).length));
        return magic("%%" + magic.name(), () -> magics.evalCellMagic(kernel, magic.name(), arguments(magic.arguments()), body));
    }

    private Object run(int cell, List<Piece> pieces) throws CellFailure {
        Object value = null;
        for (Piece piece : pieces) {
            value = switch (piece) {
                case Java java -> shell.run(java.code(), cell, java.firstLine());
                case Magic magic when magic.name().equals("time") -> timed(() -> shell.run(magic.arguments(), cell, magic.firstLine()));
                case Magic magic -> lineMagic(magic);
            };
        }
        return value;
    }

    private Object lineMagic(Magic magic) throws CellFailure {
        if (!magics.getLineMagicNames().contains(magic.name())) {
            throw unknown("%", magic.name(), magics.getLineMagicNames());
        }
        return magic("%" + magic.name(), () -> magics.evalLineMagic(kernel, magic.name(), arguments(magic.arguments())));
    }

    private interface Body {
        Object run() throws Exception;
    }

    private interface Timed {
        Object run() throws CellFailure;
    }

    /** Prints how long the statements of {@code body} ran; compiling them is not their fault. */
    private Object timed(Timed body) throws CellFailure {
        long before = execution.runNanos();
        try {
            return body.run();
        } finally {
            double millis = (execution.runNanos() - before) / 1e6;
            System.out.println("time: " + (millis < 1_000 ? String.format(Locale.ROOT, "%.1f ms", millis) : String.format(Locale.ROOT, "%.2f s", millis / 1e3)));
        }
    }

    private static Object magic(String name, Body body) throws CellFailure {
        try {
            return body.run();
        } catch (CellFailure ofCell) {
            throw ofCell;
        } catch (Exception failed) {
            throw ErrorText.plain(failed.getClass().getSimpleName(), name + ": " + failed.getMessage());
        }
    }

    /** Source from a file; its lines are those of a cell of its own. */
    private Object runLoaded(String source) throws CellFailure {
        int loaded = CellLog.FIRST_LOADED + ++filesLoaded;
        log.cell(loaded, source);
        return run(loaded, parse(source));
    }

    private static List<String> arguments(String line) {
        List<String> arguments = new ArrayList<>();
        for (Matcher each = ARGUMENT.matcher(line); each.find(); ) {
            arguments.add(each.group(1) != null ? each.group(1) : each.group(2) != null ? each.group(2) : each.group(3));
        }
        return arguments;
    }

    private static CellFailure unknown(String sign, String name, Set<String> registered) {
        List<String> known = NotebookMagics.withTime(registered);
        return ErrorText.plain("UnknownMagic", sign + name + " is not known; there is " + sign + String.join(", " + sign, known));
    }
}
