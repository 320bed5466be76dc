package jqlora.kernel;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import jdk.jshell.Diag;
import jdk.jshell.EvalException;
import jdk.jshell.JShellException;
import jdk.jshell.UnresolvedReferenceException;
import jqlora.kernel.CellLog.Place;

/**
 * Failures as a notebook shows them: what went wrong, the lines of the cell around it, and the calls that led there, without the
 * frames of JShell and of the kernel. Bold and the front end's own red are the only marks, since both read well in light and dark.
 */
final class ErrorText {
    private static final String RED = "\u001b[1;31m";
    private static final String BOLD = "\u001b[1m";
    private static final String PLAIN = "\u001b[0m";
    private static final int MAX_FRAMES = 12;
    private static final int CONTEXT_LINES = 2;
    private static final Pattern HIDDEN_FRAME = Pattern.compile("(jdk\\.internal\\.|java\\.lang\\.reflect\\.|java\\.lang\\.invoke\\.|jdk\\.jshell\\.|jqlora\\.kernel\\.).*");
    private static final Set<String> INTERRUPTS = Set.of("java.lang.InterruptedException", "java.nio.channels.ClosedByInterruptException",
            CellThread.CellStopped.class.getName());

    private final CellLog log;

    ErrorText(CellLog log) {
        this.log = log;
    }

    /** An exception thrown in {@code cell}. */
    CellFailure thrown(int cell, JShellException thrown, boolean interrupted) {
        Optional<Place> inCell = places(thrown).filter(place -> place.cell() == cell).findFirst();
        if (interrupted && INTERRUPTS.contains(className(thrown))) {
            return interrupted(cell, inCell);
        }
        List<String> lines = new ArrayList<>();
        lines.add(headline(thrown));
        places(thrown).findFirst().ifPresent(place -> lines.addAll(excerpt(place, 0, 0)));
        addFrames(lines, List.of(thrown.getStackTrace()));
        Throwable outer = thrown;
        for (Throwable cause = thrown.getCause(); cause instanceof JShellException next; cause = cause.getCause()) {
            lines.add("caused by " + headline(next));
            addFrames(lines, ownFrames(next, outer));
            outer = cause;
        }
        return new CellFailure(simpleName(className(thrown)), message(thrown), lines);
    }

    /** The end of {@code cell} by an interrupt. */
    CellFailure interrupted(int cell, Optional<Place> where) {
        String place = where.map(Place::toString).orElse("cell " + cell);
        return new CellFailure("Interrupted", place, List.of(RED + "Interrupted" + PLAIN + " in " + place));
    }

    /** {@code cell} did not end after an interrupt, and its thread was left running. */
    CellFailure leftBehind(int cell) {
        String message = "cell " + cell + " did not end after the interrupt";
        return new CellFailure("Interrupted", message, List.of(RED + "Interrupted" + PLAIN + ": " + message
                + ". What it runs goes on in the background and keeps its memory; other cells can run. Restart the kernel to be rid of it."));
    }

    /** What javac says about the snippet that begins on {@code firstLine} of {@code cell}. */
    CellFailure notCompiled(int cell, int firstLine, String snippet, List<Diag> problems) {
        List<String> lines = new ArrayList<>();
        String first = "";
        for (Diag problem : problems) {
            int start = (int) Math.clamp(problem.getStartPosition(), 0, snippet.length());
            int end = (int) Math.clamp(problem.getEndPosition(), start, snippet.length());
            Place place = new Place(cell, firstLine + CellSource.lines(snippet, 0, start));
            int column = start - (snippet.lastIndexOf('\n', start - 1) + 1);
            String message = message(problem);
            first = first.isEmpty() ? place + ": " + message : first;
            lines.add(RED + "CompileError" + PLAIN + ": " + message);
            lines.addAll(excerpt(place, column, Math.max(1, end - start)));
        }
        return new CellFailure("CompileError", first, lines);
    }

    /** A failure that has no place in Java source. */
    static CellFailure plain(String name, String message) {
        return new CellFailure(name, message, List.of(RED + name + PLAIN + ": " + message));
    }

    /** "cannot find symbol: variable x": javac's lines as one, without the place that JShell has invented. */
    private static String message(Diag problem) {
        StringBuilder message = new StringBuilder();
        for (String line : problem.getMessage(Locale.getDefault()).split("\\s*\\R\\s*")) {
            if (line.startsWith("symbol:")) {
                message.append(": ").append(line.substring("symbol:".length()).strip());
            } else if (!line.strip().equals("location: class")) {
                message.append(message.isEmpty() ? "" : "; ").append(line.strip());
            }
        }
        return message.toString();
    }

    private static String headline(JShellException thrown) {
        String name = className(thrown);
        String shown = name.startsWith("java.lang.") || name.startsWith("java.util.") || name.startsWith("java.io.") ? simpleName(name) : name;
        String message = message(thrown);
        return RED + shown + PLAIN + (message.isEmpty() ? "" : ": " + message);
    }

    private static String className(JShellException thrown) {
        return switch (thrown) {
            case EvalException evaluated -> evaluated.getExceptionClassName().replaceFirst("^REPL\\.\\$JShell\\$\\w+\\$", "");
            case UnresolvedReferenceException unresolved -> "NotDeclared";
            default -> thrown.getClass().getName();
        };
    }

    private static String message(JShellException thrown) {
        if (thrown instanceof UnresolvedReferenceException unresolved) {
            return JavaShell.declaration(unresolved.getSnippet()) + " uses something that is not declared yet";
        }
        return thrown.getMessage() == null ? "" : thrown.getMessage();
    }

    private static String simpleName(String className) {
        return className.substring(Math.max(className.lastIndexOf('.'), className.lastIndexOf('$')) + 1);
    }

    private Stream<Place> places(JShellException thrown) {
        return List.of(thrown.getStackTrace()).stream().flatMap(frame -> log.place(frame).stream());
    }

    /** The lines around {@code place}; below its line a mark of {@code length} characters from {@code column}, if length is not 0. */
    private List<String> excerpt(Place place, int column, int length) {
        String[] source = log.lines(place.cell());
        List<String> lines = new ArrayList<>();
        lines.add("in " + place);
        for (int line = Math.max(1, place.line() - CONTEXT_LINES); line <= Math.min(source.length, place.line() + CONTEXT_LINES); line++) {
            boolean here = line == place.line();
            String text = String.format("%s %3d | %s", here ? ">" : " ", line, source[line - 1].stripTrailing());
            lines.add(here ? BOLD + text + PLAIN : text);
            if (here && length > 0) {
                lines.add(RED + " ".repeat(8 + column) + "^".repeat(Math.min(length, Math.max(1, source[line - 1].length() - column))) + PLAIN);
            }
        }
        return lines;
    }

    /** The frames of a cause down to where it joins those of what it caused. */
    private static List<StackTraceElement> ownFrames(Throwable cause, Throwable outer) {
        List<StackTraceElement> frames = List.of(cause.getStackTrace());
        List<StackTraceElement> shared = List.of(outer.getStackTrace());
        int same = 0;
        while (same < frames.size() && same < shared.size() && frames.get(frames.size() - 1 - same).equals(shared.get(shared.size() - 1 - same))) {
            same++;
        }
        return frames.subList(0, frames.size() - same);
    }

    private void addFrames(List<String> lines, List<StackTraceElement> frames) {
        int hidden = 0;
        int shown = 0;
        for (StackTraceElement frame : frames) {
            Optional<Place> place = log.place(frame);
            if (place.isEmpty() && HIDDEN_FRAME.matcher(frame.getClassName() + ".").matches()) {
                continue;
            }
            if (place.isEmpty() && ++shown > MAX_FRAMES) {
                hidden++;
                continue;
            }
            lines.add("  at " + place.map(at -> method(frame) + at).orElseGet(() -> libraryFrame(frame)));
        }
        if (hidden > 0) {
            lines.add("  ... " + hidden + " more calls between these");
        }
    }

    /** What of a cell's frame has a name of its own: nothing for the cell's own statements. */
    private static String method(StackTraceElement frame) {
        String method = frame.getMethodName();
        if (method.startsWith("lambda$")) {
            return "a lambda in ";
        }
        String owner = frame.getClassName();
        return method.isEmpty() || method.startsWith("do_it$") ? "" : (owner.isEmpty() ? "" : owner + ".") + method + "() in ";
    }

    private static String libraryFrame(StackTraceElement frame) {
        String where = frame.getFileName() == null ? "" : " (" + frame.getFileName() + (frame.getLineNumber() > 0 ? ":" + frame.getLineNumber() : "") + ")";
        return frame.getClassName() + "." + frame.getMethodName() + where;
    }
}
