package jqlora.kernel;

import java.nio.charset.StandardCharsets;
import org.dflib.jjava.jupyter.channels.ShellReplyEnvironment;
import org.dflib.jjava.jupyter.kernel.JupyterIO;

/** The base kernel's streams, opened to us: its standard input and its own display calls are bound to the running cell. */
final class CellIO extends JupyterIO {
    CellIO() {
        super(StandardCharsets.UTF_8);
    }

    void attach(ShellReplyEnvironment cell, boolean takesInput) {
        setEnv(cell);
        setJupyterInEnabled(takesInput);
    }

    void detach(ShellReplyEnvironment cell) {
        retractEnv(cell);
    }
}
