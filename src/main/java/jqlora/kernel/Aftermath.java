package jqlora.kernel;

import java.io.Closeable;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import jdk.jshell.DeclarationSnippet;
import jdk.jshell.JShell;
import jdk.jshell.Snippet;
import jdk.jshell.Snippet.Status;
import jdk.jshell.SnippetEvent;
import jdk.jshell.VarSnippet;
import jqlora.notebook.OpenModel;

/**
 * What a cell's declarations have done to earlier ones, gathered while it runs and told at its end: variables that have lost their
 * values, methods and types that compile no more, and what of the cell itself waits for something that is still to be declared.
 */
final class Aftermath {
    private static final Pattern CELL_CLASS = Pattern.compile("(REPL\\.\\$JShell\\$\\w+)\\$([\\w$]+)");

    private final JShell shell;
    private final CellVariables variables;
    private final CellLog log;
    private final Map<String, Loss> lost = new LinkedHashMap<>();
    private final Map<String, Broken> broken = new LinkedHashMap<>();
    private final Map<String, DeclarationSnippet> waiting = new LinkedHashMap<>();
    private final Map<String, String> gone = new HashMap<>();     // variables that are not there any more, and why

    /** A variable without its value. */
    private record Loss(VarSnippet variable, Object value, Optional<Snippet> cause) { }

    /** A declaration that has compiled, and what has changed that it used. */
    private record Broken(DeclarationSnippet snippet, Optional<Snippet> cause) { }

    Aftermath(JShell shell, CellVariables variables, CellLog log) {
        this.shell = shell;
        this.variables = variables;
        this.log = log;
    }

    /** Takes note of what one evaluation has done; {@code evaluate} runs a declaration that is to be added. */
    void note(List<SnippetEvent> events, Consumer<String> evaluate) {
        Map<String, Object> values = variables.takeLost();
        for (SnippetEvent event : events) {
            if (!(event.snippet() instanceof DeclarationSnippet declared)) {
                continue;
            }
            String name = JavaShell.declaration(declared);
            if (event.causeSnippet() == null) {
                lost.remove(name);
                broken.remove(name);
                waiting.remove(name);
                gone.remove(declared.name());
                if (event.status() == Status.RECOVERABLE_DEFINED || event.status() == Status.RECOVERABLE_NOT_DEFINED) {
                    waiting.put(name, declared);
                }
                values.remove(declared instanceof VarSnippet ? declared.name() : "");
            } else if (declared instanceof VarSnippet variable && event.status() != Status.OVERWRITTEN) {
                noteVariable(variable, event, values, evaluate);
            } else if (event.previousStatus() == Status.VALID && event.status() != Status.VALID && event.status() != Status.OVERWRITTEN) {
                broken.put(name, new Broken(declared, Optional.of(event.causeSnippet())));
            }
        }
        values.forEach((name, value) -> shell.variables().filter(one -> one.name().equals(name) && shell.status(one).isActive()).findFirst()
                .ifPresent(variable -> lost.put(JavaShell.declaration(variable), new Loss(variable, value, Optional.empty()))));
    }

    private void noteVariable(VarSnippet variable, SnippetEvent event, Map<String, Object> values, Consumer<String> evaluate) {
        String name = variable.name();
        Optional<Snippet> cause = Optional.of(event.causeSnippet());
        if (event.status().isDefined()) {
            if (values.containsKey(name)) {
                lost.put(JavaShell.declaration(variable), new Loss(variable, values.remove(name), cause));
            }
            return;
        }
        if (!event.previousStatus().isDefined()) {
            return;
        }
        Object value = variables.value(name);
        Optional<String> type = variables.field(name).flatMap(this::currentType);
        if (type.isPresent()) {                                   // only its initializer compiles no more: it has run, and is not needed again
            Optional<CellLog.Place> place = log.place(variable);
            evaluate.accept(type.get() + " " + name + ";");
            variables.put(name, value);
            variables.takeLost();
            place.ifPresent(at -> shell.variables().filter(one -> one.name().equals(name)).forEach(one -> log.begins(one, at)));
            return;
        }
        variables.put(name, null);
        lost.put(JavaShell.declaration(variable), new Loss(variable, value, cause));
        gone.put(name, "variable " + name + " is gone" + why(cause) + again(variable, "to declare it"));
    }

    /** {@code snippet} is told of elsewhere. */
    void forget(Snippet snippet) {
        waiting.values().remove(snippet);
    }

    /** Why there is no variable {@code name} any more, if there was one. */
    Optional<String> gone(String name) {
        return Optional.ofNullable(gone.get(name));
    }

    /** The type of {@code field} as a cell would write it, unless a class in it is no longer the one of its name. */
    private Optional<String> currentType(Field field) {
        String type = field.getGenericType().getTypeName();
        Matcher ofCells = CELL_CLASS.matcher(type);
        while (ofCells.find()) {
            String outer = ofCells.group(1);
            String name = ofCells.group(2).split("\\$", 2)[0];
            boolean current = shell.types().anyMatch(one -> one.name().equals(name) && shell.status(one) == Status.VALID
                    && shell.sourceCodeAnalysis().wrapper(one).fullClassName().equals(outer));
            if (!current) {
                return Optional.empty();
            }
        }
        return Optional.of(CELL_CLASS.matcher(type).replaceAll("$2").replace('$', '.'));
    }

    /** What is to be told at the end of a cell, one line each; after that it is forgotten. */
    List<String> take() {
        List<String> lines = new ArrayList<>();
        lost.forEach((name, loss) -> lines.add(name + " (" + loss.variable.typeName() + ") has lost its value" + why(loss.cause) + holding(loss.value)
                + again(loss.variable, shell.status(loss.variable).isDefined() ? "to set it" : "to declare it")));
        broken.values().stream().filter(one -> shell.status(one.snippet) != Status.VALID).forEach(one ->
                lines.add(JavaShell.declaration(one.snippet) + " compiles no more" + why(one.cause) + ": " + problems(one.snippet)
                        + log.place(one.snippet).map(place -> "; mend it in " + CellLog.name(place.cell()) + " and run that again").orElse("")));
        waiting.values().stream().filter(one -> shell.status(one).isActive() && shell.status(one) != Status.VALID).forEach(one ->
                lines.add(JavaShell.declaration(one) + " cannot be used until this is declared: " + missing(one)));
        lost.clear();
        broken.clear();
        waiting.clear();
        return lines;
    }

    private String why(Optional<Snippet> cause) {
        return cause.filter(DeclarationSnippet.class::isInstance).map(one -> ", since " + JavaShell.declaration((DeclarationSnippet) one)
                + (shell.status(one) == Status.VALID ? " was declared anew" : " is not what it was")).orElse(", since what it uses was declared anew");
    }

    private String again(Snippet snippet, String purpose) {
        return log.place(snippet).map(place -> "; run " + CellLog.name(place.cell()) + " again " + purpose).orElse("");
    }

    /** "; it held the model X": what would be missed most, also one level inside {@code value}. */
    private static String holding(Object value) {
        Optional<String> model = model(value);
        return model.map(held -> "; it held " + held).orElse("");
    }

    private static Optional<String> model(Object value) {
        Optional<String> own = named(value);
        if (own.isPresent() || value == null || !value.getClass().getName().startsWith("REPL.")) {
            return own;
        }
        for (Field field : value.getClass().getDeclaredFields()) {
            try {
                if (!Modifier.isStatic(field.getModifiers()) && field.trySetAccessible()) {
                    Optional<String> inside = named(field.get(value));
                    if (inside.isPresent()) {
                        return inside;
                    }
                }
            } catch (IllegalAccessException e) {
                throw new AssertionError(e);
            }
        }
        return Optional.empty();
    }

    private static Optional<String> named(Object value) {
        return switch (value) {
            case OpenModel open -> Optional.of("the model " + open);
            case Closeable open when open.getClass().getName().startsWith("jqlora.") -> Optional.of("an open " + open.getClass().getSimpleName());
            case AutoCloseable open when open.getClass().getName().startsWith("jqlora.") -> Optional.of("an open " + open.getClass().getSimpleName());
            case null, default -> Optional.empty();
        };
    }

    /** What a declaration waits for, in words. */
    String missing(DeclarationSnippet declared) {
        String unresolved = shell.unresolvedDependencies(declared).collect(Collectors.joining(", "));
        return unresolved.isEmpty() ? problems(declared) : unresolved;
    }

    private String problems(DeclarationSnippet declared) {
        String problems = shell.diagnostics(declared).filter(problem -> problem.isError()).map(ErrorText::message).distinct().collect(Collectors.joining("; "));
        String unresolved = shell.unresolvedDependencies(declared).map(one -> "cannot find " + one).collect(Collectors.joining("; "));
        return problems.isEmpty() ? unresolved : unresolved.isEmpty() ? problems : unresolved + "; " + problems;
    }
}
