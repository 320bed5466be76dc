package jqlora.kernel;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import jdk.jshell.DeclarationSnippet;
import jdk.jshell.JShell;
import jdk.jshell.MethodSnippet;
import jdk.jshell.Snippet;
import jdk.jshell.SnippetEvent;
import jdk.jshell.SourceCodeAnalysis;
import jdk.jshell.SourceCodeAnalysis.Completeness;
import jdk.jshell.SourceCodeAnalysis.CompletionInfo;
import jdk.jshell.TypeDeclSnippet;
import jdk.jshell.VarSnippet;
import jdk.jshell.spi.ExecutionControl;
import jdk.jshell.spi.ExecutionControlProvider;
import jdk.jshell.spi.ExecutionEnv;

/** JShell with the notebook's cells in it: takes a stretch of Java apart into statements and declarations and runs them in turn. */
final class JavaShell {
    private final JShell shell;
    private final CellExecution execution;
    private final CellLog log;
    private final ErrorText errors;
    private int cell;

    JavaShell(CellExecution execution, CellLog log) {
        this.execution = execution;
        this.log = log;
        this.errors = new ErrorText(log);
        AtomicInteger snippets = new AtomicInteger();
        this.shell = JShell.builder().executionEngine(provider(execution), Map.of())
                .idGenerator((snippet, number) -> cell + "." + snippets.incrementAndGet()).build();
    }

    /** What completion and documentation are asked of. */
    SourceCodeAnalysis analysis() {
        return shell.sourceCodeAnalysis();
    }

    /** Makes the classes in {@code jarOrFolder} known to cells. */
    void addToClassPath(Path jarOrFolder) {
        shell.addToClasspath(jarOrFolder.toString());
    }

    /**
     * Runs {@code code}, which begins on {@code firstLine} of {@code cell}.
     *
     * @return the value of the last expression, or null where the last statement has none
     */
    Object run(String code, int cell, int firstLine) throws CellFailure {
        this.cell = cell;
        Object value = null;
        String rest = code;
        int line = firstLine;
        while (true) {
            CompletionInfo next = analysis().analyzeCompletion(rest);
            if (next.completeness() == Completeness.EMPTY) {
                return value;
            }
            boolean complete = next.completeness().isComplete();
            String source = complete ? next.source() : rest;
            int begin = JavaScanner.firstCode(source);            // JShell counts lines from there
            value = runOne(source.substring(begin), line + CellSource.lines(source, 0, begin));
            if (!complete) {
                return value;
            }
            line += CellSource.lines(rest, 0, rest.length() - next.remaining().length());
            rest = next.remaining();
        }
    }

    private Object runOne(String source, int line) throws CellFailure {
        Object value = null;
        for (SnippetEvent event : shell.eval(source)) {
            log.snippet(event.snippet().id(), line);
            CellExecution.Ending ending = execution.takeEnding();
            if (ending != null) {
                throw ending == CellExecution.Ending.LEFT_BEHIND ? errors.leftBehind(cell)
                        : errors.interrupted(cell, Optional.of(new CellLog.Place(cell, line)));
            }
            if (event.exception() != null) {
                throw errors.thrown(cell, event.exception(), execution.interrupted());
            }
            if (event.causeSnippet() != null) {
                continue;                                         // an older declaration that this one completes or replaces
            }
            if (event.status() == Snippet.Status.REJECTED) {
                throw errors.notCompiled(cell, line, source, shell.diagnostics(event.snippet()).filter(problem -> problem.isError()).toList());
            }
            noteUnresolved(event);
            Object returned = execution.takeValue();
            value = hasValue(event.snippet()) ? returned : null;
        }
        return value;
    }

    private void noteUnresolved(SnippetEvent event) {
        boolean unresolved = event.status() == Snippet.Status.RECOVERABLE_DEFINED || event.status() == Snippet.Status.RECOVERABLE_NOT_DEFINED;
        if (unresolved && event.snippet() instanceof DeclarationSnippet declared) {
            String missing = shell.unresolvedDependencies(declared).collect(Collectors.joining(", "));
            String problems = shell.diagnostics(declared).map(problem -> problem.getMessage(null).lines().findFirst().orElse("")).collect(Collectors.joining("; "));
            System.out.println(declaration(declared) + " cannot be used until this is declared: " + (missing.isEmpty() ? problems : missing));
        }
    }

    private static boolean hasValue(Snippet snippet) {
        return switch (snippet.subKind()) {
            case VAR_VALUE_SUBKIND, OTHER_EXPRESSION_SUBKIND, TEMP_VAR_EXPRESSION_SUBKIND -> true;
            default -> false;
        };
    }

    /** A declaration in words: {@code method f(int)}, {@code class A}. */
    static String declaration(DeclarationSnippet snippet) {
        return switch (snippet) {
            case MethodSnippet method -> "method " + method.name() + "(" + method.parameterTypes() + ")";
            case TypeDeclSnippet type -> "type " + type.name();
            case VarSnippet variable -> "variable " + variable.name();
            default -> snippet.name();
        };
    }

    private static ExecutionControlProvider provider(CellExecution execution) {
        return new ExecutionControlProvider() {
            @Override
            public String name() {
                return "cells";
            }

            @Override
            public ExecutionControl generate(ExecutionEnv environment, Map<String, String> parameters) {
                return execution;
            }
        };
    }

    /** The imports that every notebook begins with. */
    void importAll(List<String> imports) throws CellFailure {
        for (String one : imports) {
            run("import " + one + ";", 0, 1);
        }
    }
}
