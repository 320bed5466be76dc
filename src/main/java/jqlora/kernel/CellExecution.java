package jqlora.kernel;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.time.Duration;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Stream;
import jdk.jshell.execution.DirectExecutionControl;

/**
 * Runs what JShell has compiled, on the {@link CellThread}, and interrupts it: first with {@link Thread#interrupt}, which a cell
 * may answer by ending its step and saving; after a grace period, or when asked a second time, by stopping its loops; and when even
 * that does not help by leaving the thread behind.
 */
final class CellExecution extends DirectExecutionControl {
    private static final long LOOPS_GET_NANOS = 1_000_000_000L;
    private static final long SAY_SO_AFTER_NANOS = 3_000_000_000L;
    private static final long LOOK_EVERY_MILLIS = 50;

    /** How a call ended that returned no value. */
    enum Ending { INTERRUPTED, LEFT_BEHIND }

    private final long graceNanos;
    private final CellVariables variables = new CellVariables();
    private CellThread thread = new CellThread();
    private long interruptedAt;                                   // 0: not interrupted
    private boolean stopNow;
    private boolean loopsStopped;
    private boolean said;
    private long runNanos;
    private Object value;
    private Ending ending;

    /** @param grace how long an interrupted cell may take to end by itself */
    CellExecution(Duration grace) {
        this.graceNanos = grace.toNanos();
        thread.start();
    }

    /** Forgets an interrupt that came before this cell. */
    synchronized void beginCell() {
        interruptedAt = 0;
        stopNow = false;
        loopsStopped = false;
        said = false;
    }

    /** Interrupts the running cell; a second time stops its loops at once. */
    synchronized void interrupt() {
        stopNow = interruptedAt != 0;
        interruptedAt = Math.max(1, System.nanoTime());
        thread.interrupt();
    }

    /** Whether the running cell has been interrupted and has not taken it as a request to finish one step early. */
    synchronized boolean interrupted() {
        return interruptedAt != 0;
    }

    /** Nanoseconds that cells have run so far, without the time to compile them. */
    long runNanos() {
        return runNanos;
    }

    /** What the last invocation returned; null after it has been taken. */
    Object takeValue() {
        Object taken = value;
        value = null;
        return taken;
    }

    /** Why the last invocation returned nothing, or null if it did not fail that way; null after it has been taken. */
    Ending takeEnding() {
        Ending taken = ending;
        ending = null;
        return taken;
    }

    @Override
    public void load(ClassBytecodes[] classes) throws ClassInstallException, NotImplementedException, EngineTerminationException {
        super.load(Stream.of(classes).map(one -> new ClassBytecodes(one.name(), StopCheckWeaver.weave(one.bytecodes()))).toArray(ClassBytecodes[]::new));
        for (ClassBytecodes one : classes) {
            try {
                variables.loaded(findClass(one.name()));
            } catch (ClassNotFoundException e) {
                throw new AssertionError(e);
            }
        }
    }

    @Override
    protected String invoke(Method method) throws Exception {
        value = null;
        ending = null;
        variables.declaring(method.getDeclaringClass());
        long start = System.nanoTime();
        try {
            value = call(() -> method.invoke(null));
        } finally {
            runNanos += System.nanoTime() - start;
            variables.follow();
        }
        if (ending != null) {
            throw new StoppedException();
        }
        return "";
    }

    /** {@code body} on the cells' thread. Where it ended without a value {@link #takeEnding} says why. */
    <T> T call(Callable<T> body) throws Exception {
        if (interrupted()) {
            ending = Ending.INTERRUPTED;
            return null;
        }
        CellThread runs = thread;
        FutureTask<T> task = runs.watched(body);
        runs.take(task);
        while (true) {
            try {
                T result = task.get(LOOK_EVERY_MILLIS, TimeUnit.MILLISECONDS);
                heed(runs);
                return result;
            } catch (TimeoutException stillRunning) {
                if (leaveBehind(runs)) {
                    ending = Ending.LEFT_BEHIND;
                    return null;
                }
            } catch (ExecutionException failed) {
                throw failed.getCause() instanceof Exception exception ? exception : new InvocationTargetException(failed.getCause());
            }
        }
    }

    /** An interrupt that the cell has taken notice of and survived does not count any more. */
    private synchronized void heed(CellThread ran) {
        if (!ran.interruptUnheeded()) {
            interruptedAt = 0;
            stopNow = false;
        }
    }

    private synchronized boolean leaveBehind(CellThread runs) {
        if (interruptedAt == 0) {
            return false;
        }
        long since = System.nanoTime() - interruptedAt;
        if (!said && !stopNow && since > SAY_SO_AFTER_NANOS) {
            said = true;
            System.out.println("interrupted; the cell has " + graceNanos / 1_000_000_000L + " s to end by itself, interrupt again to stop it at once");
        }
        if (!loopsStopped && (stopNow || since > graceNanos)) {
            loopsStopped = true;
            runs.stopLoops();
        }
        if (since <= (stopNow ? 0 : graceNanos) + LOOPS_GET_NANOS) {
            return false;
        }
        thread = new CellThread();
        thread.start();
        return true;
    }
}
