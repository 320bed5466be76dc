package jqlora.kernel;

import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.LinkedBlockingQueue;

/**
 * The thread that JShell and its compiler work on. javac walks an expression with one call for each level of it, so generated code
 * needs a deep stack; and what javac prints when it fails is kept from the notebook, since it is hundreds of lines about itself.
 */
final class CompilerThread {
    private static final long STACK_BYTES = 128L << 20;           // address space; memory only for what has been used
    private static final int MAX_KEPT = 20_000;

    private final LinkedBlockingQueue<FutureTask<?>> tasks = new LinkedBlockingQueue<>();
    private final Thread thread = new Thread(null, this::work, "compiler", STACK_BYTES);
    private final StringBuffer printed = new StringBuffer();

    CompilerThread() {
        thread.setDaemon(true);
        thread.start();
    }

    /** {@code body} on this thread, after what was asked before. */
    <T> T call(Callable<T> body) throws CellFailure {
        FutureTask<T> task = new FutureTask<>(body);
        if (Thread.currentThread() == thread) {
            task.run();
        } else {
            tasks.add(task);
        }
        boolean interrupted = false;
        while (true) {
            try {
                return task.get();
            } catch (InterruptedException later) {
                interrupted = true;
            } catch (ExecutionException failed) {
                throw rethrown(failed.getCause());
            } finally {
                if (interrupted) {
                    Thread.currentThread().interrupt();
                }
            }
        }
    }

    private static CellFailure rethrown(Throwable cause) {
        return switch (cause) {
            case CellFailure failure -> failure;
            case RuntimeException unchecked -> throw unchecked;
            case Error error -> throw error;
            default -> throw new IllegalStateException(cause);
        };
    }

    /** {@code err}, but what this thread prints is kept for {@link #takePrinted}. */
    PrintStream guard(PrintStream err) {
        return new PrintStream(new OutputStream() {
            @Override
            public void write(int oneByte) {
                write(new byte[] {(byte) oneByte}, 0, 1);
            }

            @Override
            public void write(byte[] bytes, int from, int length) {
                if (Thread.currentThread() != thread) {
                    err.write(bytes, from, length);
                } else if (printed.length() < MAX_KEPT) {
                    printed.append(new String(bytes, from, length, StandardCharsets.UTF_8));
                }
            }

            @Override
            public void flush() {
                err.flush();
            }
        }, true, StandardCharsets.UTF_8);
    }

    /** What this thread has printed since it was asked last. */
    String takePrinted() {
        String taken = printed.toString();
        printed.setLength(0);
        return taken;
    }

    private void work() {
        while (true) {
            try {
                tasks.take().run();
            } catch (InterruptedException nobodyMeantThis) {
                continue;
            }
        }
    }
}
