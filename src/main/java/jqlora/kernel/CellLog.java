package jqlora.kernel;

import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Which cell and line every snippet of JShell came from. Snippets are named {@code cell.number}, as in {@code 4.17}. */
final class CellLog {
    private static final Pattern SNIPPET_FILE = Pattern.compile("#((\\d+)\\.\\d+)");

    private final Map<Integer, String> sources = new HashMap<>();
    private final Map<String, Integer> firstLines = new HashMap<>();

    /** A line of a cell, from 1. */
    record Place(int cell, int line) {
        @Override
        public String toString() {
            return "cell " + cell + ", line " + line;
        }
    }

    /** Notes the source that runs as {@code cell}. */
    void cell(int cell, String source) {
        sources.put(cell, source);
    }

    /** Notes that snippet {@code id} begins on {@code line} of its cell. */
    void snippet(String id, int line) {
        firstLines.put(id, line);
    }

    /** Where a stack frame of a cell stands, or empty for any other frame. */
    Optional<Place> place(StackTraceElement frame) {
        Matcher file = SNIPPET_FILE.matcher(String.valueOf(frame.getFileName()));
        if (!file.matches()) {
            return Optional.empty();
        }
        int firstLine = firstLines.getOrDefault(file.group(1), 1);
        return Optional.of(new Place(Integer.parseInt(file.group(2)), firstLine + Math.max(1, frame.getLineNumber()) - 1));
    }

    /** The lines of {@code cell}; none where it is not known. */
    String[] lines(int cell) {
        return sources.containsKey(cell) ? sources.get(cell).split("\n", -1) : new String[0];
    }
}
