package jqlora.kernel;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.dflib.jjava.jupyter.kernel.display.DisplayData;

/**
 * The answer to a cell that ran to its end, as Jupyter's messaging protocol has it: the base kernel's own has no pages.
 *
 * @see <a href="https://jupyter-client.readthedocs.io/en/stable/messaging.html#execution-results">Messaging in Jupyter</a>
 */
final class CellReply {
    private CellReply() { }

    /** Text that the front end shows beside the cell. Its fields are the names of the protocol, with those of a display. */
    private static final class Page extends DisplayData {
        private final String source = "page";
        private final int start = 0;

        Page(DisplayData shown) {
            super(shown);
        }
    }

    /** The value of an expression that the front end asked for. */
    private static final class Value extends DisplayData {
        private final String status = "ok";

        Value(DisplayData shown) {
            super(shown);
        }
    }

    /** Why such an expression has no value. */
    private record Failure(String status, String ename, String evalue, List<String> traceback) { }

    /** What is said of an expression with the value {@code shown}; null for one that has none. */
    static Object value(DisplayData shown) {
        return new Value(shown == null ? new DisplayData() : shown);
    }

    /** What is said of an expression that failed. */
    static Object failure(CellFailure failure) {
        return new Failure("error", failure.name(), failure.getMessage(), failure.lines());
    }

    /**
     * The content of the answer to {@code cell}.
     *
     * @param expressions what {@link #value} and {@link #failure} say, by the names that the front end gave
     */
    static Map<String, Object> of(int cell, Map<String, Object> expressions, Optional<DisplayData> page) {
        return Map.of("status", "ok", "execution_count", cell, "user_expressions", expressions,
                "payload", page.map(Page::new).map(List::of).orElse(List.of()));
    }
}
