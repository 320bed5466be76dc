package jqlora.kernel;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;
import jqlora.kernel.CellLog.Place;

/** The calls that led to an exception, as a notebook shows them: those of cells with their lines, those of libraries, each run of equal ones once. */
final class FrameLines {
    private static final int MAX_LIBRARY_FRAMES = 3;
    private static final int MAX_FRAMES_ALONE = 8;
    private static final int MAX_LINES = 40;
    private static final int MAX_PERIOD = 12;
    private static final String EXTRA_FRAME = "do_it$Aux";        // what JShell calls from do_it$ for some expressions
    private static final Pattern HIDDEN_FRAME =
            Pattern.compile("(jdk\\.internal\\.|java\\.lang\\.reflect\\.|java\\.lang\\.invoke\\.|jdk\\.jshell\\.|jqlora\\.kernel\\.).*");

    private final CellLog log;

    FrameLines(CellLog log) {
        this.log = log;
    }

    /** {@code frames} down to the last that belongs to a cell, if one does. */
    List<String> of(List<StackTraceElement> frames) {
        int end = frames.size();
        while (end > 0 && !CellLog.ofCell(frames.get(end - 1))) {
            end--;
        }
        boolean anyOfCell = end > 0;
        List<String> lines = new ArrayList<>();
        List<String> libraries = new ArrayList<>();               // between two calls of cells
        for (StackTraceElement frame : frames.subList(0, anyOfCell ? end : frames.size())) {
            boolean cell = CellLog.ofCell(frame);
            if (cell && !frame.getMethodName().startsWith(EXTRA_FRAME)) {
                addShortened(lines, folded(libraries), MAX_LIBRARY_FRAMES);
                libraries.clear();
                lines.add("  at " + cellFrame(frame));
            } else if (!cell && !HIDDEN_FRAME.matcher(frame.getClassName() + ".").matches()) {
                libraries.add("  at " + libraryFrame(frame));
            }
        }
        addShortened(lines, folded(libraries), anyOfCell ? MAX_LIBRARY_FRAMES : MAX_FRAMES_ALONE);
        List<String> shown = new ArrayList<>();
        addShortened(shown, folded(lines), MAX_LINES);
        return shown;
    }

    /** Adds the first {@code most} of {@code more}, and how many the others are. */
    private static void addShortened(List<String> lines, List<String> more, int most) {
        int shown = more.size() <= most + 1 ? more.size() : most;
        lines.addAll(more.subList(0, shown));
        if (shown < more.size()) {
            lines.add("  ... " + (more.size() - shown) + " more calls");
        }
    }

    /** {@code lines} with what repeats at once shown once, and how often. */
    static List<String> folded(List<String> lines) {
        List<String> folded = new ArrayList<>();
        int at = 0;
        while (at < lines.size()) {
            int period = 1;
            int times = repeats(lines, at, 1);
            for (int longer = 2; longer <= MAX_PERIOD && times < 3; longer++) {
                period = longer;
                times = repeats(lines, at, longer);
            }
            if (times < 3) {
                folded.add(lines.get(at++));
                continue;
            }
            folded.addAll(lines.subList(at, at + period));
            String last = folded.removeLast();
            folded.add(last + (period == 1 ? " (" + times + " times)" : " (these " + period + " calls " + times + " times)"));
            at += period * times;
        }
        return folded;
    }

    /** How often the {@code period} lines from {@code at} stand there one after another. */
    private static int repeats(List<String> lines, int at, int period) {
        int times = 1;
        while (at + (times + 1) * period <= lines.size()
                && lines.subList(at, at + period).equals(lines.subList(at + times * period, at + (times + 1) * period))) {
            times++;
        }
        return at + period <= lines.size() ? times : 0;
    }

    /** A cell's frame: its method if that has a name of its own, which the cell's own statements have not, and its place. */
    private String cellFrame(StackTraceElement frame) {
        String place = log.place(frame).map(Place::toString)
                .or(() -> log.snippet(frame).flatMap(log::place).map(begin -> CellLog.name(begin.cell()))).orElse("a cell");
        String method = frame.getMethodName();
        if (method.startsWith("lambda$")) {
            return "a lambda in " + place;
        }
        String owner = ErrorText.withoutSnippets(frame.getClassName());
        String name = switch (method) {
            case "<init>" -> "new " + owner + "() in ";
            case "<clinit>" -> "the static initializer of " + owner + " in ";
            default -> (owner.isEmpty() ? "" : owner + ".") + method + "() in ";
        };
        return (method.startsWith("do_it$") ? "" : name) + place;
    }

    private static String libraryFrame(StackTraceElement frame) {
        String where = frame.getFileName() == null ? "" : " (" + frame.getFileName() + (frame.getLineNumber() > 0 ? ":" + frame.getLineNumber() : "") + ")";
        return frame.getClassName() + "." + frame.getMethodName() + where;
    }

    /** The place in a cell nearest to where an exception was thrown. */
    Optional<Place> place(Thrown thrown) {
        return thrown.frames().stream().flatMap(frame -> log.place(frame).stream()).findFirst().or(() -> thrown.cause().flatMap(this::place));
    }

    /** The place in {@code cell} nearest to where an exception was thrown. */
    Optional<Place> placeIn(int cell, Thrown thrown) {
        return thrown.frames().stream().flatMap(frame -> log.place(frame).stream()).filter(place -> place.cell() == cell).findFirst();
    }

    /** The frames of a cause down to where it joins those of what it caused. */
    List<String> ofCause(Thrown cause, Thrown outer) {
        List<StackTraceElement> frames = cause.frames();
        List<StackTraceElement> shared = outer.frames();
        int same = 0;
        while (same < frames.size() && same < shared.size() && frames.get(frames.size() - 1 - same).equals(shared.get(shared.size() - 1 - same))) {
            same++;
        }
        return of(frames.subList(0, frames.size() - same));
    }
}
