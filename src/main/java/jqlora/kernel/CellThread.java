package jqlora.kernel;

import java.lang.reflect.InvocationTargetException;
import java.util.concurrent.Callable;
import java.util.concurrent.FutureTask;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.function.Supplier;

/**
 * The thread that cells run on, one after another, so that whatever a library ties to a thread lives as long as the notebook.
 * Public, with what {@link CellWeaver} puts into the classes of cells, because those call it.
 */
public final class CellThread extends Thread {
    private final LinkedBlockingQueue<FutureTask<?>> tasks = new LinkedBlockingQueue<>();
    private volatile Stop stop = Stop.NO;
    private final Object shield = new Object();
    private boolean shielded;                                     // guarded by shield, as is the next
    private boolean interruptedMeanwhile;
    private volatile boolean interruptUnheeded;

    /** What the loops of a cell shall do: nothing, end if nobody else has taken the interrupt, end. */
    private enum Stop { NO, IF_UNHEEDED, NOW }

    CellThread() {
        super("cells");
        setDaemon(true);
    }

    /** Ends the running cell if it has been told to stop. Called at the start of a cell's methods and in each turn of their loops. */
    public static void stopCheck() {
        if (Thread.currentThread() instanceof CellThread cells && cells.stop != Stop.NO && cells.stops()) {
            throw new CellStopped();
        }
    }

    /** What {@link System#exit} does in a cell. */
    public static void exit(int status) {
        throw new ExitInCell("System.exit(" + status + ") would end the kernel, and all that the notebook has in memory with it; it does nothing in a cell."
                + " Use \"return\" to leave a method, or restart the kernel from the front end");
    }

    /** What {@link Runtime#exit} and {@link Runtime#halt} do in a cell. */
    public static void exit(Runtime runtime, int status) {
        exit(status);
    }

    private boolean stops() {
        return stop == Stop.NOW || isInterrupted() && !inLibrary(Thread.currentThread().getStackTrace());
    }

    /** Whether {@code stack} is within a computation of the library, which ends its step and saves when it is interrupted. */
    static boolean inLibrary(StackTraceElement[] stack) {
        for (StackTraceElement frame : stack) {
            String type = frame.getClassName();
            if (type.startsWith("jqlora.") && !type.startsWith("jqlora.kernel.") && !type.startsWith("jqlora.notebook.")) {
                return true;
            }
        }
        return false;
    }

    /** Takes {@code task} to be run when those before it are done. */
    void take(FutureTask<?> task) {
        stop = Stop.NO;
        interruptUnheeded = false;
        tasks.add(task);
    }

    /** Interrupts what runs; its loops end at their next turn, if {@code whatever} is said even where the interrupt was taken already. */
    void stop(boolean whatever) {
        stop = whatever ? Stop.NOW : Stop.IF_UNHEEDED;
        interrupt();
    }

    @Override
    public void interrupt() {
        synchronized (shield) {
            if (shielded) {
                interruptedMeanwhile = true;
                return;
            }
        }
        super.interrupt();
    }

    /** What {@code work} returns, called on this thread; an interrupt that comes meanwhile, or has come before, comes afterwards. */
    <T> T undisturbed(Supplier<T> work) {
        boolean within;
        synchronized (shield) {
            within = shielded;
            interruptedMeanwhile |= Thread.interrupted();
            shielded = true;
        }
        if (within) {
            return work.get();
        }
        try {
            return work.get();
        } finally {
            boolean interrupted;
            synchronized (shield) {
                shielded = false;
                interrupted = interruptedMeanwhile;
                interruptedMeanwhile = false;
            }
            if (interrupted) {
                super.interrupt();
            }
        }
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

    /** {@code task}, noting at its end whether an interrupt is left over, and what an exception says of itself. */
    <T> FutureTask<T> watched(Callable<T> task) {
        return new FutureTask<>(() -> {
            try {
                return task.call();
            } catch (Throwable thrown) {
                throw failure(thrown instanceof InvocationTargetException reflected && reflected.getCause() != null ? reflected.getCause() : thrown);
            } finally {
                interruptUnheeded = Thread.interrupted();
            }
        });
    }

    private static Failure failure(Throwable thrown) {
        try {
            return new Failure(Thrown.of(thrown));
        } catch (CellStopped stopped) {
            return new Failure(Thrown.of(stopped));               // while it was read
        }
    }

    /** A task that has failed. */
    static final class Failure extends Exception {
        private final transient Thrown thrown;

        Failure(Thrown thrown) {
            super(thrown.type(), null, false, false);
            this.thrown = thrown;
        }

        Thrown thrown() {
            return thrown;
        }
    }

    /** Thrown in a cell whose loops are ended by an interrupt. */
    static final class CellStopped extends Error {
        CellStopped() {
            super("stopped by an interrupt");
        }
    }

    /** Thrown in a cell that would end the process. */
    static final class ExitInCell extends Error {
        ExitInCell(String message) {
            super(message);
        }
    }
}
