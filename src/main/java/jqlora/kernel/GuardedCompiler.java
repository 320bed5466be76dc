package jqlora.kernel;

import java.util.List;
import java.util.Objects;
import java.util.function.Supplier;
import java.util.stream.Stream;
import jdk.jshell.JShell;
import jdk.jshell.SnippetEvent;

/** JShell's compiler, whose own failures are those of a cell, in one line. */
final class GuardedCompiler {
    private static final String TOO_DEEP = "this is nested too deeply to compile; split it into several statements";

    private final JShell shell;
    private final CompilerThread compiler;
    private final ErrorText errors;

    GuardedCompiler(JShell shell, CompilerThread compiler, ErrorText errors) {
        this.shell = shell;
        this.compiler = compiler;
        this.errors = errors;
    }

    /** Evaluates {@code source}, which begins on {@code line} of {@code cell}. */
    List<SnippetEvent> evaluate(String source, int cell, int line) throws CellFailure {
        List<SnippetEvent> events = compiling(cell, line, () -> shell.eval(source));
        boolean compiled = events.stream().filter(event -> event.causeSnippet() == null).allMatch(event -> event.status().isDefined());
        String printed = compiler.takePrinted();
        if (!compiled && printed.contains("java.lang.StackOverflowError")) {
            throw tooDeep(cell, line);
        }
        if (!compiled && printed.contains("\tat jdk.compiler/")) {
            throw errors.compilerFailed(cell, line, crashed(printed.lines().filter(one -> one.matches("[\\w.$]+(Error|Exception|Failure)\\b.*")).findFirst().orElse("no reason given")));
        }
        return events;
    }

    /** What the compiler says to {@code work}; its own failures in one line. */
    <T> T compiling(int cell, int line, Supplier<T> work) throws CellFailure {
        compiler.takePrinted();
        try {
            return work.get();
        } catch (RuntimeException | Error crash) {
            boolean deep = Stream.iterate((Throwable) crash, Objects::nonNull, Throwable::getCause).anyMatch(StackOverflowError.class::isInstance);
            throw errors.compilerFailed(cell, line, deep ? TOO_DEEP
                    : crash instanceof OutOfMemoryError ? "there is not enough memory to compile this; split it, or free memory" : crashed(String.valueOf(crash)));
        }
    }

    /** What stands on {@code line} is nested too deeply. */
    CellFailure tooDeep(int cell, int line) {
        return errors.compilerFailed(cell, line, TOO_DEEP);
    }

    private static String crashed(String why) {
        return "the Java compiler itself failed here (" + Thrown.shortened(why) + "); write this in another way, or in smaller parts";
    }
}
