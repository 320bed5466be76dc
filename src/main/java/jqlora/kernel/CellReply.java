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

    /** The content of the answer to {@code cell}. */
    static Map<String, Object> of(int cell, Optional<DisplayData> page) {
        return Map.of("status", "ok", "execution_count", cell, "user_expressions", Map.of(),
                "payload", page.map(Page::new).map(List::of).orElse(List.of()));
    }
}
