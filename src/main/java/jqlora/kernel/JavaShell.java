package jqlora.kernel;

import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import jdk.jshell.DeclarationSnippet;
import jdk.jshell.Diag;
import jdk.jshell.ImportSnippet;
import jdk.jshell.JShell;
import jdk.jshell.MethodSnippet;
import jdk.jshell.Snippet;
import jdk.jshell.Snippet.Status;
import jdk.jshell.SnippetEvent;
import jdk.jshell.SourceCodeAnalysis;
import jdk.jshell.SourceCodeAnalysis.Completeness;
import jdk.jshell.SourceCodeAnalysis.CompletionInfo;
import jdk.jshell.TypeDeclSnippet;
import jdk.jshell.VarSnippet;
import jdk.jshell.spi.ExecutionControl;
import jdk.jshell.spi.ExecutionControlProvider;
import jdk.jshell.spi.ExecutionEnv;
import jqlora.kernel.CellLog.Place;

/** JShell with the notebook's cells in it: takes a stretch of Java apart into statements and declarations and runs them in turn. */
final class JavaShell {
    private static final int MAX_DEPTH = 1_000;                   // of brackets; javac takes minutes for calls within calls beyond that
    private static final Pattern BROKEN_CLASS = Pattern.compile("REPL\\.\\$JShell\\$\\w+\\$(\\w+).*");

    private final JShell shell;
    private final CellExecution execution;
    private final CellLog log;
    private final GuardedCompiler javac;
    private final NameHints hints;
    private final DefaultImports imports;
    private final Aftermath aftermath;
    private final ErrorText errors;
    private final Set<String> brokenTypes = new HashSet<>();      // their static initializers have failed
    private int cell;
    private volatile Place running = new Place(0, 1);

    JavaShell(CellExecution execution, CellLog log, CompilerThread compiler) {
        this.execution = execution;
        this.log = log;
        this.shell = JShell.builder().executionEngine(provider(execution), Map.of()).build();
        this.imports = new DefaultImports(new DefaultImports.Shell() {
            @Override
            public void add(String what) {
                changed(shell.eval("import " + what + ";"));
            }

            @Override
            public void drop(String what) {
                shell.imports().filter(one -> shell.status(one).isActive() && (one.isStatic() ? "static " : "").concat(one.fullname()).equals(what)).toList()
                        .forEach(one -> changed(shell.drop(one)));
            }
        });
        this.aftermath = new Aftermath(shell, execution.variables(), log);
        this.errors = new ErrorText(log, this::waitsFor);
        this.javac = new GuardedCompiler(shell, compiler, errors);
        this.hints = new NameHints(shell.sourceCodeAnalysis(), aftermath);
        log.onUnknown(this::findRunning);
    }

    /** A thread asks what class {@code name} is while the statement that it belongs to still runs. */
    private void findRunning(String name) {
        Place place = running;
        try {
            shell.snippets().filter(one -> !(one instanceof ImportSnippet) && shell.status(one).isDefined())
                    .filter(one -> name.equals(analysis().wrapper(one).fullClassName())).forEach(one -> {
                        log.begins(one, place);
                        log.compiled(one, analysis().wrapper(one));
                    });
        } catch (RuntimeException changing) {
            return;                                               // it is being compiled; the trace has one place less
        }
    }

    private String waitsFor(DeclarationSnippet declared) {
        String missing = aftermath.missing(declared);
        return missing.isEmpty() ? "something that is not declared yet" : missing + ", which is not declared yet";
    }

    /** What completion and documentation are asked of. */
    SourceCodeAnalysis analysis() {
        return shell.sourceCodeAnalysis();
    }

    /** Whether the notebook has declared something called {@code name}. */
    boolean declares(String name) {
        return Stream.of(shell.variables(), shell.methods(), shell.types()).flatMap(one -> one).anyMatch(one -> one.name().equals(name) && shell.status(one).isDefined());
    }

    /** The words for failures of cells. */
    ErrorText errors() {
        return errors;
    }

    /** Makes the classes in {@code jarOrFolder} known to cells. */
    void addToClassPath(Path jarOrFolder) {
        shell.addToClasspath(jarOrFolder.toString());
        imports.addPath(jarOrFolder);
    }

    /** What the cell that has run did to earlier declarations, in lines; asked once. */
    List<String> takeAftermath() {
        return aftermath.take();
    }

    /**
     * Runs {@code code}, which begins on {@code firstLine} of {@code cell}.
     *
     * @return the value of the last expression, or null where the last statement has none or ends with a semicolon
     */
    Object run(String code, int cell, int firstLine) throws CellFailure {
        this.cell = cell;
        int deep = JavaScanner.tooDeep(code, MAX_DEPTH);
        if (deep < code.length()) {
            throw javac.tooDeep(cell, firstLine + CellSource.lines(code, 0, deep));
        }
        Object value = null;
        String rest = code;
        int line = firstLine;
        while (true) {
            String ahead = rest;
            CompletionInfo next = javac.compiling(cell, line, () -> analysis().analyzeCompletion(ahead));
            if (next.completeness() == Completeness.EMPTY) {
                return value;
            }
            boolean complete = next.completeness().isComplete();
            String source = complete ? next.source() : rest;
            int begin = JavaScanner.firstCode(source);            // JShell counts lines from there
            value = runOne(source.substring(begin), line + CellSource.lines(source, 0, begin));
            if (JavaScanner.endsWithSemicolon(complete ? rest.substring(0, rest.length() - next.remaining().length()) : rest)) {
                value = null;                                     // said to be of no interest
            }
            if (!complete) {
                return value;
            }
            line += CellSource.lines(rest, 0, rest.length() - next.remaining().length());
            rest = next.remaining();
        }
    }

    /** Whether {@code code} ends with a whole statement or declaration, to which no more can belong. */
    boolean endsStatement(String code) {
        CompletionInfo unit = analysis().analyzeCompletion(code);
        while (unit.completeness() == Completeness.COMPLETE && !unit.remaining().isBlank()) {
            unit = analysis().analyzeCompletion(unit.remaining());
        }
        return unit.completeness() == Completeness.COMPLETE || unit.completeness() == Completeness.EMPTY;
    }

    /** Makes way for the names that {@code cell} declares itself, before any of it runs. */
    void prepare(String cell) {
        imports.before(TopLevelNames.of(cell));
    }

    private Object runOne(String source, int line) throws CellFailure {
        running = new Place(cell, line);
        replaceBroken(source);
        List<SnippetEvent> events = javac.evaluate(source, cell, line);
        if (rejected(events) && importRest()) {                   // a name that is written in an unusual way
            events = javac.evaluate(source, cell, line);
        }
        if (rejected(events)) {
            events = withoutOurs(source, line, events);
        }
        Place place = new Place(cell, line);
        if (rejected(events)) {
            restoreOverwritten(events);
            throw errors.notCompiled(cell, line, source, problems(events), hints.of(problems(events)));
        }
        Object value = null;
        events.stream().filter(event -> event.causeSnippet() == null).forEach(event -> log.begins(event.snippet(), place));
        changed(events);
        CellExecution.Ending ending = execution.takeEnding();
        if (ending != null) {
            throw failure(ending, place);
        }
        for (SnippetEvent event : events) {
            if (event.causeSnippet() != null) {
                continue;
            }
            List<Diag> problems = shell.diagnostics(event.snippet()).filter(Diag::isError).toList();
            boolean declares = event.snippet() instanceof MethodSnippet || event.snippet() instanceof TypeDeclSnippet;
            if (!problems.isEmpty() && (!declares && !event.status().isDefined() || tooLarge(problems))) {
                aftermath.forget(event.snippet());
                throw errors.notCompiled(cell, line, source, problems, List.of());
            }
            if (event.snippet() instanceof ImportSnippet userImport && event.previousStatus() != Status.VALID) {
                imported(userImport);
            }
            Object returned = execution.takeValue();
            value = hasValue(event.snippet()) ? returned : null;
        }
        return value;
    }

    private CellFailure failure(CellExecution.Ending ending, Place place) {
        return switch (ending) {
            case CellExecution.Ending.LeftBehind left -> errors.leftBehind(cell);
            case CellExecution.Ending.Interrupted interrupted -> errors.interrupted(cell, Optional.of(place));
            case CellExecution.Ending.Failed failed -> {
                noteBroken(failed.thrown());
                yield errors.thrown(cell, failed.thrown(), execution.interrupted());
            }
        };
    }

    private static boolean rejected(List<SnippetEvent> events) {
        return events.stream().anyMatch(event -> event.causeSnippet() == null && event.status() == Status.REJECTED);
    }

    private List<Diag> problems(List<SnippetEvent> events) {
        return events.stream().filter(event -> event.causeSnippet() == null).flatMap(event -> shell.diagnostics(event.snippet())).filter(Diag::isError).toList();
    }

    private static boolean tooLarge(List<Diag> problems) {
        return problems.stream().anyMatch(problem -> "compiler.err.limit.code".equals(problem.getCode()));
    }

    /**
     * A declaration that does not compile with a type of ours may mean one of that name that the notebook declares later, as JShell
     * allows. It is tried once more without ours; if it then waits for that name it stands, and what is meant is told.
     */
    private List<SnippetEvent> withoutOurs(String source, int line, List<SnippetEvent> first) throws CellFailure {
        List<Diag> problems = problems(first);
        TopLevelNames names = TopLevelNames.of(source);
        if (names.types().isEmpty() && names.methods().isEmpty()) {
            return first;
        }
        List<String> doubted = names.mentioned().stream().filter(name -> imports.ours(name).isPresent() && doubted(name, source, problems)).toList();
        if (doubted.isEmpty()) {
            return first;
        }
        List<String> ours = doubted.stream().map(name -> imports.ours(name).orElseThrow()).toList();
        doubted.forEach(imports::withdraw);
        List<SnippetEvent> second = javac.evaluate(source, cell, line);
        if (rejected(second)) {
            doubted.forEach(imports::restore);
            return first;
        }
        System.out.println("taken without " + String.join(", ", ours) + ", since with it: " + ErrorText.message(problems.getFirst()));
        return second;
    }

    private static boolean doubted(String name, String source, List<Diag> problems) {
        return problems.stream().anyMatch(problem -> {
            int start = (int) Math.clamp(problem.getStartPosition(), 0, source.length());
            int end = (int) Math.clamp(problem.getEndPosition(), start, source.length());
            return TopLevelNames.of(source.substring(start, end)).mentioned().contains(name)
                    || Pattern.compile("\\b" + name + "\\b").matcher(problem.getMessage(null)).find();
        });
    }

    /** A declaration that does not compile leaves what it would have replaced in force. */
    private void restoreOverwritten(List<SnippetEvent> events) {
        for (SnippetEvent event : events) {
            if (event.status() == Status.OVERWRITTEN && event.previousStatus() == Status.VALID && event.snippet() instanceof DeclarationSnippet old) {
                Optional<Place> place = log.place(old);
                List<SnippetEvent> restored = shell.eval(old.source());
                place.ifPresent(at -> restored.stream().filter(one -> one.causeSnippet() == null).forEach(one -> log.begins(one.snippet(), at)));
                changed(restored);
            }
        }
    }

    /** Takes note of what JShell has compiled and changed. */
    private void changed(List<SnippetEvent> events) {
        for (SnippetEvent event : events) {
            if (event.snippet() instanceof ImportSnippet || !event.status().isDefined()) {
                continue;
            }
            log.compiled(event.snippet(), analysis().wrapper(event.snippet()));
        }
        aftermath.note(events, declaration -> shell.eval(declaration).forEach(event -> log.compiled(event.snippet(), analysis().wrapper(event.snippet()))));
    }

    private void imported(ImportSnippet userImport) {
        String what = userImport.fullname();
        String kind = userImport.isStatic() ? "static " : "";
        switch (userImport.subKind()) {
            case TYPE_IMPORT_ON_DEMAND_SUBKIND, STATIC_IMPORT_ON_DEMAND_SUBKIND -> imports.userImports(kind + what.replaceAll("\\.\\*$", ""));
            case SINGLE_TYPE_IMPORT_SUBKIND, SINGLE_STATIC_IMPORT_SUBKIND -> imports.userImportsName(what);
            default -> { }
        }
    }

    /** A class whose static initializer has failed stays unusable until it is another class, so its declaration starts afresh. */
    private void noteBroken(Thrown thrown) {
        for (Thrown one = thrown; one != null; one = one.cause().orElse(null)) {
            if (one.type().equals("java.lang.ExceptionInInitializerError") || one.type().equals("java.lang.NoClassDefFoundError")) {
                Stream.concat(one.cause().stream(), Stream.of(one)).flatMap(part -> part.frames().stream()).filter(frame -> frame.getMethodName().equals("<clinit>"))
                        .map(frame -> BROKEN_CLASS.matcher(frame.getClassName())).filter(Matcher::matches).forEach(name -> brokenTypes.add(name.group(1)));
            }
        }
    }

    private void replaceBroken(String source) {
        if (brokenTypes.isEmpty()) {
            return;
        }
        for (String type : TopLevelNames.of(source).types()) {
            if (brokenTypes.remove(type)) {
                changed(shell.eval("class " + type + " { int replaced; }"));      // or JShell would keep the class if its text is the same
            }
        }
    }

    private static boolean hasValue(Snippet snippet) {
        return switch (snippet.subKind()) {
            case VAR_VALUE_SUBKIND, OTHER_EXPRESSION_SUBKIND, TEMP_VAR_EXPRESSION_SUBKIND -> true;
            default -> false;
        };
    }

    /** A declaration in words: {@code method f(int)}, {@code type A}. */
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

    /**
     * Imports one of what every notebook begins with that no cell has needed so far.
     *
     * @return false where none is left
     */
    boolean importNext() {
        return imports.importNext();
    }

    /**
     * Imports all that no cell has needed so far.
     *
     * @return whether there was something
     */
    boolean importRest() {
        boolean some = false;
        while (importNext()) {
            some = true;
        }
        return some;
    }

    /** What every notebook begins with, imported where it is needed: packages, or {@code static} and a class. */
    void importAll(List<Notebook.Import> all) {
        all.forEach(one -> imports.add(one.what(), one.jshells()));
    }
}
