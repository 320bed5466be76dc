package jqlora.kernel;

import java.lang.reflect.Method;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Stream;
import jdk.jshell.execution.DirectExecutionControl;

/**
 * Runs what JShell has compiled, on the {@link CellThread}, and interrupts it. An interrupt ends a wait, and the cell's own loops at
 * their next turn; library code may take it as a request, end its step and save, for which it has as long as it needs. A second
 * interrupt ends the cell's loops whatever they do with it. Other code that takes no notice is left behind.
 */
final class CellExecution extends DirectExecutionControl {
    private static final long AT_ONCE_NANOS = 1_000_000_000L;
    private static final long SAY_SO_AFTER_NANOS = 3_000_000_000L;
    private static final long LOOK_EVERY_MILLIS = 20;

    /** How a call ended that returned no value. */
    sealed interface Ending {
        /** By an interrupt. */
        record Interrupted() implements Ending { }

        /** Not at all: its thread goes on. */
        record LeftBehind() implements Ending { }

        /** By an exception. */
        record Failed(Thrown thrown) implements Ending { }
    }

    private final long patienceNanos;
    private final CellVariables variables = new CellVariables();
    private final Map<String, byte[]> loaded = new HashMap<>();
    private final MovedLines moved = new MovedLines();
    private CellThread thread = new CellThread();
    private long interruptedAt;                                   // 0: not interrupted
    private boolean again;                                        // interrupted a second time
    private boolean said;
    private Instant pressedAt;
    private Instant heededAt;
    private long runNanos;
    private Object value;
    private Ending ending;

    /** @param patience how long code that takes no notice of an interrupt is waited for */
    CellExecution(Duration patience) {
        this.patienceNanos = patience.toNanos();
        thread.start();
    }

    CellVariables variables() {
        return variables;
    }

    /** Where the lines of classes have gone that were declared again with other lines. */
    MovedLines moved() {
        return moved;
    }

    /** Forgets an interrupt that came before this cell. */
    synchronized void beginCell() {
        interruptedAt = 0;
        again = false;
        said = false;
        heededAt = null;
    }

    /** Interrupts the running cell; a second time stops its loops at once. */
    synchronized void interrupt() {
        again = interruptedAt != 0;
        pressedAt = Instant.now();
        interruptedAt = Math.max(1, System.nanoTime());
        thread.stop(again);
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

    /** Why the last invocation returned nothing, or null if it did return; null after it has been taken. */
    Ending takeEnding() {
        Ending taken = ending;
        ending = null;
        return taken;
    }

    @Override
    public void load(ClassBytecodes[] classes) throws ClassInstallException, NotImplementedException, EngineTerminationException {
        super.load(Stream.of(classes).map(one -> new ClassBytecodes(one.name(), CellWeaver.weave(one.bytecodes()))).toArray(ClassBytecodes[]::new));
        for (ClassBytecodes one : classes) {
            loaded.put(one.name(), one.bytecodes());
            try {
                Class<?> snippet = findClass(one.name());
                snippet.getClassLoader().setDefaultAssertionStatus(true);      // asked when a class is initialised
                variables.loaded(snippet);
            } catch (ClassNotFoundException e) {
                throw new AssertionError(e);
            }
        }
    }

    /** A class that has only moved to other lines stays as it is, and so do the variables that refer to it; others JShell replaces. */
    @Override
    public void redefine(ClassBytecodes[] classes) throws ClassInstallException {
        for (ClassBytecodes one : classes) {
            if (!loaded.containsKey(one.name()) || !MovedLines.sameButLines(loaded.get(one.name()), one.bytecodes())) {
                throw new ClassInstallException(one.name() + " has changed", new boolean[classes.length]);
            }
        }
        for (ClassBytecodes one : classes) {
            moved.note(one.name(), loaded.get(one.name()), one.bytecodes());
        }
    }

    @Override
    protected String invoke(Method method) throws Exception {
        value = null;
        ending = null;
        CellVariables.Declaration declaration = variables.declaring(method.getDeclaringClass());
        long start = System.nanoTime();
        try {
            value = call(() -> method.invoke(null));
        } finally {
            runNanos += System.nanoTime() - start;
            declaration.end(ending == null);
        }
        if (ending != null) {
            throw new StoppedException();                         // JShell need not look at it
        }
        return "";
    }

    /** {@code body} on the cells' thread. Where it ended without a value {@link #takeEnding} says why. */
    <T> T call(Callable<T> body) {
        ending = null;
        if (interrupted()) {
            ending = new Ending.Interrupted();
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
                    ending = new Ending.LeftBehind();
                    return null;
                }
            } catch (ExecutionException failed) {
                ending = new Ending.Failed(((CellThread.Failure) failed.getCause()).thrown());
                return null;
            } catch (InterruptedException e) {
                throw new IllegalStateException("the thread that waits for cells is never interrupted", e);
            }
        }
    }

    /** An interrupt that the cell has taken notice of and survived does not count any more. */
    private synchronized void heed(CellThread ran) {
        if (interruptedAt != 0 && !ran.interruptUnheeded()) {
            forgive();
            heededAt = pressedAt;
        }
    }

    /** The cell has done all that it had to do: an interrupt that nobody has heard came too late. */
    synchronized void forgive() {
        interruptedAt = 0;
        again = false;
    }

    /** When the interrupt came that the running cell took as a request to end what it was at; empty if there was none. */
    synchronized Optional<Instant> heededAt() {
        return Optional.ofNullable(heededAt);
    }

    private synchronized boolean leaveBehind(CellThread runs) {
        if (interruptedAt == 0) {
            return false;
        }
        long since = System.nanoTime() - interruptedAt;
        boolean library = since > AT_ONCE_NANOS && CellThread.inLibrary(runs.getStackTrace());
        if (!said && since > SAY_SO_AFTER_NANOS) {
            said = true;
            System.out.println(library ? "interrupted: jqlora finishes what it is at, then the cell ends"
                    : "interrupted: the cell has not ended yet; interrupt again to stop it at once");
        }
        boolean heeded = !again && !runs.isInterrupted();         // it has taken the interrupt, and may end as it likes
        if (library || heeded || since <= (again ? AT_ONCE_NANOS : patienceNanos)) {
            return false;
        }
        thread = new CellThread();
        thread.start();
        return true;
    }
}
