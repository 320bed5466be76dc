package jqlora.kernel;

import java.nio.charset.StandardCharsets;
import org.dflib.jjava.jupyter.channels.ShellReplyEnvironment;
import org.dflib.jjava.jupyter.kernel.JupyterIO;

/** The base kernel's streams, opened to us: its own display calls are bound to the running cell. */
final class CellIO extends JupyterIO {
    CellIO() {
        super(StandardCharsets.UTF_8);
    }

    void attach(ShellReplyEnvironment cell) {
        setEnv(cell);
    }

    void detach(ShellReplyEnvironment cell) {
        retractEnv(cell);
    }
}
