package jqlora.tensor;

import java.util.function.LongSupplier;

/**
 * Decides whether a team had better leave the work to one of its threads, because other programs want the processors too. A loop that is shared ends when
 * its last piece does, so a thread that waits for a processor holds up all; one thread alone loses no more than its own waiting.
 *
 * <p>The measure is how long the team's threads have been ready to run without a processor. Where that is much, one thread works for a while; then the team
 * is tried again, after longer and longer rests as long as nothing has changed.
 */
final class Crowd {
    /** How long the team is watched before it is judged: several turns of the system's scheduler. */
    static final long WATCH_NANOS = 20_000_000;
    static final long SHORTEST_REST_NANOS = 100_000_000, LONGEST_REST_NANOS = 1_600_000_000;
    /** Waiting of all threads together, as a part of the time, above which it is a crowd. */
    private static final double MUCH = 0.25;

    private final LongSupplier clock;
    private final LongSupplier waited;
    private long watchedSince;
    private long waitedThen;
    private long rest = SHORTEST_REST_NANOS;
    private volatile long nextLook;
    private volatile boolean alone;

    /**
     * @param clock nanoseconds
     * @param waited nanoseconds that the team's threads have waited for a processor since some moment; negative if that is not known
     */
    Crowd(LongSupplier clock, LongSupplier waited) {
        this.clock = clock;
        this.waited = waited;
        watch(clock.getAsLong());
    }

    /** Whether one thread should work alone now. */
    boolean isThere() {
        long now = clock.getAsLong();
        if (now - nextLook >= 0) {
            look(now);
        }
        return alone;
    }

    private synchronized void look(long now) {
        if (now - nextLook < 0) {
            return;                                               // another thread was here first
        }
        if (alone) {
            watch(now);
            return;
        }
        long since = waited.getAsLong();
        // a team that was idle meanwhile has not waited, and says nothing
        if (waitedThen >= 0 && since >= 0 && since - waitedThen > MUCH * (now - watchedSince)) {
            alone = true;
            nextLook = now + rest;
            rest = Math.min(LONGEST_REST_NANOS, 2 * rest);
        } else {
            rest = SHORTEST_REST_NANOS;
            watch(now);
        }
    }

    private void watch(long now) {
        alone = false;
        watchedSince = now;
        waitedThen = waited.getAsLong();
        nextLook = now + WATCH_NANOS;
    }
}
