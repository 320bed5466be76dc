package jqlora.kernel;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import jdk.jshell.Snippet;
import jdk.jshell.SourceCodeAnalysis.SnippetWrapper;

/** Which cell and line every snippet of JShell came from, and every stack frame of what was made of it. */
final class CellLog {
    private static final Pattern SNIPPET_CLASS = Pattern.compile("REPL\\.\\$JShell\\$\\w+");

    private final MovedLines moved;
    private final Map<Integer, String> sources = new HashMap<>();
    private final Map<Snippet, Place> begins = new IdentityHashMap<>();
    private final Map<String, List<Part>> classes = new HashMap<>();
    private Consumer<String> unknown = name -> { };

    /** What has been loaded from files is numbered from here on. */
    static final int FIRST_LOADED = 1_000_000;

    /** Stands for an expression that came along with a cell. */
    static final int SENT_ALONG = -1;

    /** {@code cell} in words. */
    static String name(int cell) {
        if (cell == SENT_ALONG) {
            return "an expression of the front end";
        }
        return cell < FIRST_LOADED ? "cell " + cell : "what was loaded (" + (cell - FIRST_LOADED) + ")";
    }

    /** A line of a cell, from 1. */
    record Place(int cell, int line) {
        @Override
        public String toString() {
            return name(cell) + ", line " + line;
        }
    }

    /** What stands in a class of JShell: a snippet, and which line of it each line of the class is. */
    private record Part(Snippet snippet, Map<Integer, Integer> lines) { }

    CellLog(MovedLines moved) {
        this.moved = moved;
    }

    /** Notes the source that runs as {@code cell}. */
    synchronized void cell(int cell, String source) {
        sources.put(cell, source);
    }

    /** Notes that {@code snippet} begins at {@code place}. */
    synchronized void begins(Snippet snippet, Place place) {
        begins.put(snippet, place);
    }

    /** Where {@code snippet} begins. */
    synchronized Optional<Place> place(Snippet snippet) {
        return Optional.ofNullable(begins.get(snippet));
    }

    /** Notes the class that JShell has made of {@code snippet}, as it is now. */
    synchronized void compiled(Snippet snippet, SnippetWrapper wrapper) {
        String name = wrapper.fullClassName();
        String wrapped;
        try {
            wrapped = wrapper.wrapped();
        } catch (RuntimeException neverWrapped) {
            return;
        }
        if (name == null || wrapped == null) {
            return;
        }
        List<Part> parts = classes.computeIfAbsent(name, none -> new ArrayList<>());
        parts.removeIf(part -> part.snippet == snippet);
        parts.add(new Part(snippet, lines(wrapper, wrapped)));
    }

    /** For each line of the class the line of the snippet that stands there. */
    private static Map<Integer, Integer> lines(SnippetWrapper wrapper, String wrapped) {
        String source = wrapper.source();
        int[] ends = IntStream.range(0, wrapped.length()).filter(i -> wrapped.charAt(i) == '\n').toArray();
        Map<Integer, Integer> lines = new HashMap<>();
        int line = 1;
        for (int at = 0; at < source.length(); at++) {
            int there = wrapper.sourceToWrappedPosition(at);
            if (source.charAt(at) == '\n') {
                line++;
            } else if (!Character.isWhitespace(source.charAt(at)) && there > 0) {      // 0: JShell does not know
                int found = Arrays.binarySearch(ends, there);
                lines.putIfAbsent((found < 0 ? -found - 1 : found) + 1, line);
            }
        }
        if (!wrapper.fullClassName().contains("_")) {             // one snippet in the class, so the way back is open too
            for (int i = 0; i < ends.length; i++) {
                int from = Math.clamp(wrapper.wrappedToSourcePosition(Math.max(0, ends[i] - 1)), 0, source.length());
                lines.putIfAbsent(i + 1, CellSource.lines(source, 0, from) + 1);
            }
        }
        return lines;
    }

    /** Asks {@code finder}, which calls {@link #compiled} and {@link #begins}, about classes that are not known yet: those of the statement that runs. */
    void onUnknown(Consumer<String> finder) {
        this.unknown = finder;
    }

    /** Where a stack frame of a cell stands, or empty for any other frame. */
    synchronized Optional<Place> place(StackTraceElement frame) {
        Matcher snippetClass = SNIPPET_CLASS.matcher(frame.getClassName());
        if (!snippetClass.lookingAt()) {
            return Optional.empty();
        }
        if (!classes.containsKey(snippetClass.group())) {
            unknown.accept(snippetClass.group());
        }
        int line = moved.now(frame);
        for (Part part : classes.getOrDefault(snippetClass.group(), List.of())) {
            Integer inSnippet = part.lines.get(line);
            if (inSnippet != null && begins.containsKey(part.snippet)) {
                Place begin = begins.get(part.snippet);
                return Optional.of(new Place(begin.cell, begin.line + inSnippet - 1));
            }
        }
        return Optional.empty();
    }

    /** The snippet that a stack frame belongs to, the first where several are in one class. */
    synchronized Optional<Snippet> snippet(StackTraceElement frame) {
        Matcher snippetClass = SNIPPET_CLASS.matcher(frame.getClassName());
        return snippetClass.lookingAt() ? classes.getOrDefault(snippetClass.group(), List.of()).stream().map(Part::snippet).findFirst() : Optional.empty();
    }

    /** Whether a stack frame is one of a cell, known or not. */
    static boolean ofCell(StackTraceElement frame) {
        return SNIPPET_CLASS.matcher(frame.getClassName()).lookingAt();
    }

    /** The lines of {@code cell}; none where it is not known. */
    synchronized String[] lines(int cell) {
        return sources.containsKey(cell) ? sources.get(cell).split("\n", -1) : new String[0];
    }
}
