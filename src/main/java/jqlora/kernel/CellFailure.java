package jqlora.kernel;

import java.util.List;

/** Why a cell did not run to its end, in the words and lines that the notebook shows. */
final class CellFailure extends Exception {
    private final String name;
    private final List<String> lines;

    /**
     * @param name    kind of failure: the simple name of an exception's class, or CompileError, Interrupted, UnknownMagic
     * @param message one line
     * @param lines   what the notebook shows, coloured
     */
    CellFailure(String name, String message, List<String> lines) {
        super(message);
        this.name = name;
        this.lines = List.copyOf(lines);
    }

    String name() {
        return name;
    }

    List<String> lines() {
        return lines;
    }
}
