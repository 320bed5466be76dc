package jqlora.tensor;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.function.IntConsumer;

/**
 * A fixed team of daemon threads for loops over independent pieces of a tensor. The calling thread works too, so a team of
 * one starts no thread. Each thread takes the next piece when it is done with its last, so that one which has lost its processor to
 * another program holds back a single piece; results must not depend on who takes which. Whoever waits looks again and again for a short
 * while only, and then sleeps until it is woken. Where other programs keep the processors busy, one thread does all: see {@link Crowd}.
 */
public final class Workers implements AutoCloseable {
    /**
     * How long a waiting thread keeps its processor: about what sleeping and waking up cost on a virtual machine, where waking a thread takes
     * 40 microseconds of the one who does it and 100 more until it runs. Most waits are shorter, and the longer ones are for a thread
     * that has no processor, perhaps because the waiting one has it.
     */
    static final long SPIN_NANOS = 150_000;
    private static final ThreadLocal<Boolean> BUSY = ThreadLocal.withInitial(() -> false);

    /** A loop; {@code caller} is woken by the last piece once it has said that it sleeps. */
    private static final class Job {
        final int tasks;
        final IntConsumer body;
        final Thread caller = Thread.currentThread();
        final AtomicInteger next = new AtomicInteger(), unfinished;
        volatile Throwable failure;
        volatile boolean callerSleeps;

        Job(int tasks, IntConsumer body) {
            this.tasks = tasks;
            this.body = body;
            unfinished = new AtomicInteger(tasks);
        }

        boolean hasPieces() {
            return next.get() < tasks;
        }

        boolean isDone() {
            return unfinished.get() == 0;
        }
    }

    /** A thread of the team. */
    private final class Helper implements Runnable {
        final Thread thread;
        volatile boolean sleeps;

        Helper(int number) {
            thread = Thread.ofPlatform().daemon().name("jqlora-worker-" + number).unstarted(this);
        }

        @Override
        public void run() {
            waits.addCurrentThread();
            while (!closed) {
                Job current = job;
                if (current != null && current.hasPieces()) {
                    take(current);
                } else if (!spinUntil(this::isWanted)) {
                    sleep();
                }
            }
        }

        private boolean isWanted() {
            Job current = job;
            return closed || current != null && current.hasPieces();
        }

        private void sleep() {
            sleeps = true;                                        // before the last look: whoever brings a job afterwards sees it
            while (!isWanted()) {
                LockSupport.park(Workers.this);
                Thread.interrupted();                             // an interrupted thread would not sleep
            }
            sleeps = false;
        }
    }

    private final Helper[] helpers;
    private final ProcessorWaits waits = new ProcessorWaits();
    private final Crowd crowd;
    private volatile Job job;
    private volatile boolean closed;

    /** @param threads how many threads work at once, the caller included; at least 1 */
    public Workers(int threads) {
        this(threads, true);
    }

    /** @param yields whether one thread works alone while other programs want the processors */
    Workers(int threads, boolean yields) {
        if (threads < 1) {
            throw new IllegalArgumentException("Workers: threads is " + threads + ", it must be at least 1");
        }
        crowd = new Crowd(System::nanoTime, yields ? waits::nanos : () -> -1);
        helpers = new Helper[threads - 1];
        for (int i = 0; i < helpers.length; i++) {
            helpers[i] = new Helper(i + 1);
        }
        for (Helper helper : helpers) {
            helper.thread.start();
        }
    }

    /** Threads that work at once, the caller included. */
    public int size() {
        return helpers.length + 1;
    }

    /** Whether {@link #run} would use the calling thread only: the team is one, the thread is within a loop, or other programs want the processors. */
    public boolean isAlone() {
        if (helpers.length == 0 || BUSY.get()) {
            return true;
        }
        waits.callFromCurrentThread();
        return crowd.isThere();
    }

    /**
     * Runs {@code body} for 0 ... {@code tasks} - 1 and returns when all are done. Pieces are begun in this order. Called from within a body
     * it runs the inner loop on the calling thread alone. The first exception of a body is thrown here, after the others have ended. An
     * interrupt does not end the wait; the thread's interrupt status is kept.
     */
    public void run(int tasks, IntConsumer body) {
        if (tasks <= 1 || isAlone()) {
            for (int i = 0; i < tasks; i++) {
                body.accept(i);
            }
            return;
        }
        synchronized (this) {
            if (closed) {
                throw new IllegalStateException("Workers: closed");
            }
            Job mine = new Job(tasks, body);
            job = mine;
            for (int i = 0; i < Math.min(helpers.length, tasks - 1); i++) {
                if (helpers[i].sleeps) {
                    LockSupport.unpark(helpers[i].thread);
                }
            }
            take(mine);
            await(mine);
            job = null;
            if (mine.failure != null) {
                throw sneaky(mine.failure);
            }
        }
    }

    private void await(Job mine) {
        if (spinUntil(mine::isDone)) {
            return;
        }
        mine.callerSleeps = true;
        boolean interrupted = false;
        while (!mine.isDone()) {
            LockSupport.park(this);
            interrupted |= Thread.interrupted();                  // an interrupted thread would not sleep
        }
        if (interrupted) {
            mine.caller.interrupt();
        }
    }

    /**
     * Waits without giving the processor away, a short while at most; for a piece that needs what another one is about to have.
     *
     * @return whether it holds
     */
    public static boolean spinUntil(BooleanSupplier holds) {
        long began = 0;
        while (!holds.getAsBoolean()) {
            long now = System.nanoTime();
            if (began == 0) {
                began = now;
            } else if (now - began > SPIN_NANOS) {
                return false;
            }
            Thread.onSpinWait();
        }
        return true;
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

    private static void take(Job job) {
        BUSY.set(true);
        try {
            for (int i; (i = job.next.getAndIncrement()) < job.tasks; ) {
                try {
                    if (job.failure == null) {
                        job.body.accept(i);
                    }
                } catch (Throwable thrown) {
                    job.failure = thrown;
                } finally {
                    if (job.unfinished.decrementAndGet() == 0 && job.callerSleeps) {
                        LockSupport.unpark(job.caller);
                    }
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
        for (Helper helper : helpers) {
            LockSupport.unpark(helper.thread);
        }
    }
}
