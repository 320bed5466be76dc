package jqlora.kernel;

import java.util.concurrent.Callable;
import java.util.concurrent.FutureTask;
import java.util.concurrent.LinkedBlockingQueue;

/**
 * The thread that cells run on, one after another, so that whatever a library ties to a thread lives as long as the notebook.
 * Public, with {@link #stopCheck}, because the classes of cells call it; see {@link StopCheckWeaver}.
 */
public final class CellThread extends Thread {
    private final LinkedBlockingQueue<FutureTask<?>> tasks = new LinkedBlockingQueue<>();
    private volatile boolean stopping;
    private volatile boolean interruptUnheeded;

    CellThread() {
        super("cells");
        setDaemon(true);
    }

    /** Ends the running cell if it has been told to stop. Called at the start of a cell's methods and in each turn of their loops. */
    public static void stopCheck() {
        if (Thread.currentThread() instanceof CellThread cells && cells.stopping) {
            throw new CellStopped();
        }
    }

    /** Takes {@code task} to be run when those before it are done. */
    void take(FutureTask<?> task) {
        stopping = false;
        interruptUnheeded = false;
        tasks.add(task);
    }

    /** Makes the loops of the running cell throw {@link CellStopped} at their next turn. */
    void stopLoops() {
        stopping = true;
        interrupt();
    }

    /** Whether the last task ended without taking notice of an interrupt. */
    boolean interruptUnheeded() {
        return interruptUnheeded;
    }

    @Override
    public void run() {
        while (true) {
            try {
                FutureTask<?> task = tasks.take();
                Thread.interrupted();                             // meant for a task that has ended since
                task.run();
            } catch (InterruptedException late) {
                continue;                                         // likewise
            }
        }
    }

    /** {@code task}, noting at its end whether an interrupt is left over. */
    <T> FutureTask<T> watched(Callable<T> task) {
        return new FutureTask<>(() -> {
            try {
                return task.call();
            } finally {
                interruptUnheeded = Thread.interrupted();
            }
        });
    }

    /** Thrown in a cell that does not end by itself after an interrupt. */
    static final class CellStopped extends Error {
        CellStopped() {
            super("stopped by an interrupt");
        }
    }
}
