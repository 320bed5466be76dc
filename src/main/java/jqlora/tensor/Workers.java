package jqlora.tensor;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.function.IntConsumer;

/**
 * A fixed team of daemon threads for loops over independent pieces of a tensor. The calling thread works too, so a team of
 * one starts no thread. Which thread takes which piece is not fixed; results must not depend on it.
 */
public final class Workers implements AutoCloseable {
    private static final int SPINS_BEFORE_PARKING = 4_000;        // some 20 microseconds: the gap between two products of a layer
    private static final ThreadLocal<Boolean> BUSY = ThreadLocal.withInitial(() -> false);

    private record Job(int tasks, IntConsumer body, AtomicInteger next, AtomicInteger unfinished, Failure failure) { }

    private static final class Failure {
        volatile Throwable first;
    }

    private final Thread[] threads;
    private volatile Job job;
    private volatile boolean closed;

    /** @param threads how many threads work at once, the caller included; at least 1 */
    public Workers(int threads) {
        if (threads < 1) {
            throw new IllegalArgumentException("Workers: threads is " + threads + ", it must be at least 1");
        }
        this.threads = new Thread[threads - 1];
        for (int i = 0; i < this.threads.length; i++) {
            this.threads[i] = Thread.ofPlatform().daemon().name("jqlora-worker-" + (i + 1)).unstarted(this::work);
            this.threads[i].start();
        }
    }

    /** One thread per processor that the JVM may use. */
    public static Workers onAllProcessors() {
        return new Workers(Runtime.getRuntime().availableProcessors());
    }

    /** Threads that work at once, the caller included. */
    public int size() {
        return threads.length + 1;
    }

    /**
     * Runs {@code body} for 0 ... {@code tasks} - 1 and returns when all are done. Called from within a body it runs the
     * inner loop on the calling thread alone. The first exception of a body is thrown here, after the others have ended.
     */
    public void run(int tasks, IntConsumer body) {
        if (tasks <= 1 || threads.length == 0 || BUSY.get()) {
            for (int i = 0; i < tasks; i++) {
                body.accept(i);
            }
            return;
        }
        synchronized (this) {
            if (closed) {
                throw new IllegalStateException("Workers: closed");
            }
            Job mine = new Job(tasks, body, new AtomicInteger(), new AtomicInteger(tasks), new Failure());
            job = mine;
            for (Thread thread : threads) {
                LockSupport.unpark(thread);
            }
            take(mine);
            while (mine.unfinished.get() > 0) {
                Thread.onSpinWait();                              // the pieces are small: the others end within one piece
            }
            job = null;
            if (mine.failure.first != null) {
                throw sneaky(mine.failure.first);
            }
        }
    }

    /** Splits 0 ... {@code count} into ranges of at least {@code grain} and runs {@code body} on each. */
    public void ranges(long count, long grain, Range body) {
        int parts = (int) Math.max(1, Math.min(4L * size(), count / Math.max(1, grain)));
        run(parts, i -> body.accept(count * i / parts, count * (i + 1) / parts));
    }

    /** A piece of a loop: {@code from} inclusive, {@code to} exclusive. */
    @FunctionalInterface
    public interface Range {
        void accept(long from, long to);
    }

    private void work() {
        while (!closed) {
            Job current = awaitJob();
            if (current != null) {
                take(current);
            }
        }
    }

    private Job awaitJob() {
        for (int spins = 0; ; spins++) {
            Job current = job;
            if (closed || current != null && current.next.get() < current.tasks) {
                return current;
            }
            if (spins < SPINS_BEFORE_PARKING) {
                Thread.onSpinWait();
            } else {
                LockSupport.park(this);
            }
        }
    }

    private static void take(Job job) {
        BUSY.set(true);
        try {
            for (int i; (i = job.next.getAndIncrement()) < job.tasks; ) {
                try {
                    if (job.failure.first == null) {
                        job.body.accept(i);
                    }
                } catch (Throwable thrown) {
                    job.failure.first = thrown;
                } finally {
                    job.unfinished.decrementAndGet();
                }
            }
        } finally {
            BUSY.set(false);
        }
    }

    @SuppressWarnings("unchecked")
    private static <T extends Throwable> RuntimeException sneaky(Throwable thrown) throws T {
        throw (T) thrown;
    }

    @Override
    public void close() {
        closed = true;
        for (Thread thread : threads) {
            LockSupport.unpark(thread);
        }
    }
}
