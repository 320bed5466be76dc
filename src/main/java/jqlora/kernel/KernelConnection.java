package jqlora.kernel;

import java.security.GeneralSecurityException;
import org.dflib.jjava.jupyter.channels.JupyterConnection;
import org.dflib.jjava.jupyter.channels.StdinChannel;
import org.dflib.jjava.jupyter.kernel.KernelConnectionProperties;

/** The base kernel's connection, opened to us: its channel for input. */
final class KernelConnection extends JupyterConnection {
    KernelConnection(KernelConnectionProperties properties) throws GeneralSecurityException {
        super(properties);
    }

    StdinChannel input() {
        return stdin;
    }
}
