package jqlora.kernel;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import jdk.jshell.DeclarationSnippet;
import jdk.jshell.Diag;
import jqlora.kernel.CellLog.Place;

/**
 * Failures as a notebook shows them: what went wrong, the lines of the cell around it, and the calls that led there, without the
 * frames of JShell and of the kernel. Bold and the front end's own red are the only marks, since both read well in light and dark.
 */
final class ErrorText {
    private static final String RED = "\u001b[1;31m";
    private static final String BOLD = "\u001b[1m";
    private static final String PLAIN = "\u001b[0m";
    private static final int CONTEXT_LINES = 2;
    private static final int MAX_LINE = 160;
    private static final int MAX_PROBLEMS = 8;
    private static final Pattern SNIPPET_PREFIX = Pattern.compile("REPL[./]\\$JShell\\$\\w+[$.]?");
    private static final Pattern ANONYMOUS = Pattern.compile("\\$JShell\\$anonymous\\$\\$\\d+");
    private static final Pattern SAME_NAME = Pattern.compile("class (\\S+) cannot be cast to class (\\S+)(.*)", Pattern.DOTALL);
    private static final Set<String> INTERRUPTS = Set.of("java.lang.InterruptedException", "java.nio.channels.ClosedByInterruptException",
            CellThread.CellStopped.class.getName());
    private static final String UNRESOLVED = "jdk.jshell.spi.SPIResolutionException";
    private static final String IN_STATIC = "java.lang.ExceptionInInitializerError";

    private final CellLog log;
    private final FrameLines frames;
    private final Function<DeclarationSnippet, String> missing;

    /** @param missing what a declaration waits for, in words */
    ErrorText(CellLog log, Function<DeclarationSnippet, String> missing) {
        this.log = log;
        this.frames = new FrameLines(log);
        this.missing = missing;
    }

    /** An exception thrown in {@code cell}. */
    CellFailure thrown(int cell, Thrown thrown, boolean interrupted) {
        if (interrupted && INTERRUPTS.contains(thrown.type())) {
            return interrupted(cell, frames.placeIn(cell, thrown));
        }
        if (interrupted && thrown.type().equals("java.io.InterruptedIOException")) {      // a library's, which says how to go on
            return new CellFailure("Interrupted", message(thrown), List.of(RED + "Interrupted" + PLAIN + ": " + message(thrown)));
        }
        return new CellFailure(simpleName(name(thrown)), message(thrown), lines(thrown, Optional.empty()));
    }

    /** The value of {@code cell}, of class {@code type}, cannot be shown. */
    CellFailure notShown(int cell, Class<?> type, Thrown thrown, boolean interrupted) {
        if (interrupted && INTERRUPTS.contains(thrown.type())) {
            String what = "cell " + cell + ", while its value was drawn";
            return new CellFailure("Interrupted", what, List.of(RED + "Interrupted" + PLAIN + " in " + what));
        }
        String what = "cell " + cell + " has run; only its value, of type " + withoutSnippets(type.getTypeName()) + ", cannot be shown";
        return new CellFailure(simpleName(name(thrown)), message(thrown), lines(thrown, Optional.of(what)));
    }

    /** An exception that ended a thread of a cell. */
    List<String> inThread(String thread, Thrown thrown) {
        return lines(thrown, Optional.of("thread \"" + thread + "\" has ended with it"));
    }

    private List<String> lines(Thrown thrown, Optional<String> remark) {
        List<String> lines = new ArrayList<>();
        lines.add(headline(thrown));
        remark.ifPresent(lines::add);
        Thrown placed = thrown.type().equals(IN_STATIC) && thrown.cause().isPresent() ? thrown.cause().get() : thrown;
        frames.place(placed).ifPresent(place -> lines.addAll(excerpt(place, 0, 0)));
        lines.addAll(frames.of(thrown.frames()));
        addSuppressed(lines, thrown);
        Thrown outer = thrown;
        while (outer.cause().isPresent()) {
            Thrown cause = outer.cause().get();
            lines.add("caused by " + headline(cause));
            lines.addAll(frames.ofCause(cause, outer));
            addSuppressed(lines, cause);
            outer = cause;
        }
        return lines;
    }

    private void addSuppressed(List<String> lines, Thrown thrown) {
        for (Thrown one : thrown.suppressed()) {
            lines.add("suppressed " + headline(one));
            lines.addAll(frames.ofCause(one, thrown));
        }
        if (!thrown.leftOut().isEmpty()) {
            lines.add("  (" + thrown.leftOut() + ")");
        }
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

    /** What javac says about the snippet that begins on {@code firstLine} of {@code cell}; {@code hints} come below. */
    CellFailure notCompiled(int cell, int firstLine, String snippet, List<Diag> problems, List<String> hints) {
        List<String> lines = new ArrayList<>();
        String first = "";
        for (Diag problem : problems.subList(0, Math.min(MAX_PROBLEMS, problems.size()))) {
            int start = (int) Math.clamp(problem.getStartPosition(), 0, snippet.length());
            int end = (int) Math.clamp(problem.getEndPosition(), start, snippet.length());
            Place place = new Place(cell, firstLine + CellSource.lines(snippet, 0, start));
            int column = start - (snippet.lastIndexOf('\n', start - 1) + 1);
            String message = message(problem);
            first = first.isEmpty() ? place + ": " + message : first;
            lines.add(RED + "CompileError" + PLAIN + ": " + message);
            lines.addAll(excerpt(place, column, Math.max(1, end - start)));
        }
        if (problems.size() > MAX_PROBLEMS) {
            lines.add("... " + (problems.size() - MAX_PROBLEMS) + " more errors");
        }
        lines.addAll(hints);
        return new CellFailure("CompileError", first, lines);
    }

    /** The compiler itself could not do it. */
    CellFailure compilerFailed(int cell, int line, String why) {
        String message = new Place(cell, line) + ": " + why;
        return new CellFailure("CompileError", message, List.of(RED + "CompileError" + PLAIN + ": " + message));
    }

    /** A failure that has no place in Java source. */
    static CellFailure plain(String name, String message) {
        return new CellFailure(name, message, List.of(RED + name + PLAIN + ": " + message));
    }

    /** "cannot find symbol: variable x": javac's lines as one, without the place that JShell has invented. */
    static String message(Diag problem) {
        if ("compiler.err.limit.code".equals(problem.getCode()) || problem.getMessage(Locale.ROOT).startsWith("code too large")) {
            return "its compiled code is larger than the 64 KB that Java allows a method; split it into several statements or methods";
        }
        StringBuilder message = new StringBuilder();
        for (String line : problem.getMessage(Locale.getDefault()).split("\\s*\\R\\s*")) {
            if (line.startsWith("symbol:")) {
                message.append(": ").append(line.substring("symbol:".length()).strip());
            } else if (!line.strip().equals("location: class")) {
                message.append(message.isEmpty() ? "" : "; ").append(line.strip().replaceAll(";$", ""));
            }
        }
        return withoutSnippets(message.toString());
    }

    private String headline(Thrown thrown) {
        String name = name(thrown);
        String shown = name.startsWith("java.lang.") || name.startsWith("java.util.") || name.startsWith("java.io.") ? simpleName(name) : name;
        String message = message(thrown);
        return RED + shown + PLAIN + (message.isEmpty() ? "" : ": " + message);
    }

    private static String name(Thrown thrown) {
        return switch (thrown.type()) {
            case UNRESOLVED -> "NotDeclared";
            case "jqlora.kernel.CellThread$ExitInCell" -> "ExitInCell";
            case "jqlora.kernel.CellThread$CellStopped" -> "Interrupted";
            default -> withoutSnippets(thrown.type());
        };
    }

    private String message(Thrown thrown) {
        String message = withoutSnippets(thrown.message());
        return switch (thrown.type()) {
            case UNRESOLVED -> thrown.frames().stream().flatMap(frame -> log.snippet(frame).stream()).findFirst()
                    .map(snippet -> snippet instanceof DeclarationSnippet declared ? JavaShell.declaration(declared) + " uses " + missing.apply(declared) : "")
                    .orElse("something is used that is not declared yet");
            case "java.lang.StackOverflowError" -> message.isEmpty() ? "calls are nested too deeply; does the recursion end?" : message;
            case IN_STATIC -> message.isEmpty() ? thrown.cause().map(cause -> "a static initializer failed: " + simpleName(name(cause))
                    + (message(cause).isEmpty() ? "" : ": " + message(cause))).orElse("") : message;
            case "java.lang.NoClassDefFoundError" -> message.startsWith("Could not initialize class ") ? message
                    + ", since its static initializer has failed before; run the cell that declares it again" : message;
            case "java.lang.ClassCastException" -> castAcrossDeclarations(message);
            default -> message;
        };
    }

    /** Two classes of one name: the first was declared before the second replaced it. */
    private static String castAcrossDeclarations(String message) {
        Matcher classes = SAME_NAME.matcher(message);
        return classes.matches() && classes.group(1).equals(classes.group(2))
                ? "this " + classes.group(1) + " is of an earlier declaration of " + classes.group(1) + "; make it anew" : message;
    }

    /** {@code text} without the classes that JShell puts around what cells declare. */
    static String withoutSnippets(String text) {
        return text.contains("$JShell$") ? ANONYMOUS.matcher(SNIPPET_PREFIX.matcher(text).replaceAll("")).replaceAll("(anonymous class)") : text;
    }

    private static String simpleName(String className) {
        return className.substring(Math.max(className.lastIndexOf('.'), className.lastIndexOf('$')) + 1);
    }

    /** The lines around {@code place}; below its line a mark of {@code length} characters from {@code column}, if length is not 0. */
    private List<String> excerpt(Place place, int column, int length) {
        String[] source = log.lines(place.cell());
        List<String> lines = new ArrayList<>();
        lines.add("in " + place);
        for (int line = Math.max(1, place.line() - CONTEXT_LINES); line <= Math.min(source.length, place.line() + CONTEXT_LINES); line++) {
            boolean here = line == place.line();
            int from = here && column > MAX_LINE - 60 ? column - 60 : 0;      // a long line from a little before the mark
            String whole = source[line - 1].stripTrailing();
            String part = whole.substring(Math.min(from, whole.length()), Math.min(whole.length(), from + MAX_LINE));
            String text = String.format("%s %3d | %s", here ? ">" : " ", line, (from > 0 ? "..." : "") + part + (from + MAX_LINE < whole.length() ? "..." : ""));
            lines.add(here ? BOLD + text + PLAIN : text);
            if (here && length > 0) {
                int shown = Math.min(length, Math.max(1, Math.min(whole.length(), from + MAX_LINE) - column));
                lines.add(RED + " ".repeat(8 + (from > 0 ? 3 : 0) + column - from) + "^".repeat(shown) + PLAIN);
            }
        }
        return lines;
    }
}
