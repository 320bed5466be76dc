package jqlora.kernel;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import org.dflib.jjava.jupyter.channels.Loop;
import org.dflib.jjava.jupyter.kernel.KernelConnectionProperties;

/**
 * The kernel's process: {@code java ... jqlora.kernel.KernelMain CONNECTION_FILE}. Jupyter starts it; it ends when Jupyter says so or
 * is gone. With {@code --rehearse} instead of a file it runs the cells of {@link Rehearsal} and ends: so the cache for its quick
 * start is made.
 */
public final class KernelMain {
    private static final long SEND_MILLIS = 100;
    private static final long EXIT_HOOKS_MILLIS = 600;

    private KernelMain() { }

    /** @param arguments the path of the connection file that Jupyter has written, or {@code --rehearse} */
    public static void main(String[] arguments) throws IOException, GeneralSecurityException {
        if (arguments.length != 1) {
            System.err.println("usage: java ... jqlora.kernel.KernelMain CONNECTION_FILE | --rehearse");
            System.exit(2);
        }
        CellLogging.install();
        if (arguments[0].equals("--rehearse")) {
            rehearse();
            return;
        }
        exitWithParent(System.getenv("JPY_PARENT_PID"));
        Path home = Path.of(System.getenv().getOrDefault("QLORA_HOME", "."));
        serve(KernelConnectionProperties.parse(Files.readString(Path.of(arguments[0]))), home).waitUntilClose();
    }

    private static KernelConnection serve(KernelConnectionProperties properties, Path home) throws GeneralSecurityException {
        KernelConnection connection = new KernelConnection(properties);
        QloraKernel kernel = new QloraKernel(connection, home, () -> exit(SEND_MILLIS));
        Thread.setDefaultUncaughtExceptionHandler((thread, thrown) -> uncaught(kernel, thread, thrown));
        kernel.serve();
        connection.getIOPub().setSndHWM(0);                       // never drop a message on our side
        connection.connect();
        return connection;
    }

    /** Ends with status 0 where every cell was answered. The folder of this session is one without models, data sets and former cells. */
    private static void rehearse() throws IOException, GeneralSecurityException {
        PrintStream terminal = System.err;
        KernelConnectionProperties properties = Rehearsal.onThisMachine();
        serve(properties, Path.of(System.getProperty("java.io.tmpdir"), "no-jqlora"));
        try (Rehearsal session = new Rehearsal(properties)) {
            session.run();
        } catch (RuntimeException failed) {
            failed.printStackTrace(terminal);
            System.exit(1);
        }
        System.exit(0);                                           // the kernel's threads would go on
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
