package jqlora.kernel;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import org.dflib.jjava.jupyter.channels.Loop;
import org.dflib.jjava.jupyter.kernel.KernelConnectionProperties;

/** The kernel's process: {@code java ... jqlora.kernel.KernelMain CONNECTION_FILE}. Jupyter starts it; it ends when Jupyter says so or is gone. */
public final class KernelMain {
    private static final long SEND_MILLIS = 100;
    private static final long EXIT_HOOKS_MILLIS = 600;

    private KernelMain() { }

    /** @param arguments the path of the connection file that Jupyter has written */
    public static void main(String[] arguments) throws IOException, GeneralSecurityException {
        if (arguments.length != 1) {
            System.err.println("usage: java ... jqlora.kernel.KernelMain CONNECTION_FILE");
            System.exit(2);
        }
        CellLogging.install();
        exitWithParent(System.getenv("JPY_PARENT_PID"));
        KernelConnection connection = new KernelConnection(KernelConnectionProperties.parse(Files.readString(Path.of(arguments[0]))));
        Path home = Path.of(System.getenv().getOrDefault("QLORA_HOME", "."));
        QloraKernel kernel = new QloraKernel(connection, home, () -> exit(SEND_MILLIS));
        Thread.setDefaultUncaughtExceptionHandler((thread, thrown) -> uncaught(kernel, thread, thrown));
        kernel.serve();
        connection.getIOPub().setSndHWM(0);                       // never drop a message on our side
        connection.connect();
        connection.waitUntilClose();
    }

    /** Ends the process within a second: messages get {@code sendMillis} to leave, shutdown hooks and libraries' threads little more. */
    private static void exit(long sendMillis) {
        Thread.ofPlatform().daemon().name("exit").start(() -> {
            sleep(sendMillis + EXIT_HOOKS_MILLIS);
            Runtime.getRuntime().halt(0);
        });
        Thread.ofPlatform().daemon().name("exit-hooks").start(() -> {
            sleep(sendMillis);
            System.exit(0);
        });
    }

    /** A kernel that can no longer read its requests ends, so that Jupyter starts another; other threads are the cells' own. */
    private static void uncaught(QloraKernel kernel, Thread thread, Throwable thrown) {
        if (thread instanceof Loop) {
            thrown.printStackTrace();
            Runtime.getRuntime().halt(1);
        }
        kernel.threadEnded(thread, thrown);
    }

    private static void exitWithParent(String parentPid) {
        if (parentPid != null && parentPid.matches("\\d+")) {
            ProcessHandle.of(Long.parseLong(parentPid)).ifPresent(parent -> parent.onExit().thenRun(() -> exit(0)));
        }
    }

    private static void sleep(long millis) {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
