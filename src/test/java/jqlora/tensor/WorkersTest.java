package jqlora.tensor;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicIntegerArray;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(20)
class WorkersTest {
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 5})
    void everyPieceIsDoneOnce(int threads) {
        try (Workers workers = team(threads)) {
            assertEquals(threads, workers.size());
            for (int tasks : new int[] {0, 1, 2, 3, 7, 1000}) {
                AtomicIntegerArray done = new AtomicIntegerArray(tasks);
                workers.run(tasks, done::incrementAndGet);
                for (int i = 0; i < tasks; i++) {
                    assertEquals(1, done.get(i), "piece " + i + " of " + tasks);
                }
            }
        }
    }

    /** Short jobs, one after the other: the helpers are still on their way out of the last one when the next begins. */
    @Test
    void manyShortJobs() {
        try (Workers workers = team(3)) {
            long sum = 0;
            for (int job = 0; job < 20_000; job++) {
                AtomicInteger done = new AtomicInteger();
                workers.run(3, i -> done.addAndGet(i + 1));
                sum += done.get();
            }
            assertEquals(20_000L * 6, sum);
        }
    }

    /** Helpers go to sleep between jobs, and wake up. */
    @Test
    void jobsAfterAPause() throws InterruptedException {
        try (Workers workers = team(2)) {
            for (int i = 0; i < 3; i++) {
                CountDownLatch both = new CountDownLatch(2);
                workers.run(2, piece -> {
                    both.countDown();
                    await(both);                                   // only two threads at once can pass
                });
                Thread.sleep(20);
            }
        }
    }

    /** A team that works whatever else the machine has to do. */
    private static Workers team(int threads) {
        return new Workers(threads, false);
    }

    private static void await(CountDownLatch latch) {
        try {
            assertTrue(latch.await(10, TimeUnit.SECONDS), "the other thread never came");
        } catch (InterruptedException interrupted) {
            throw new AssertionError(interrupted);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 3})
    void rangesCoverTheLoop(int threads) {
        try (Workers workers = team(threads)) {
            for (long count : new long[] {0, 1, 63, 64, 1000, 1L << 40}) {
                List<long[]> parts = Collections.synchronizedList(new ArrayList<>());
                workers.ranges(count, 64, (from, to) -> parts.add(new long[] {from, to}));
                parts.sort((a, b) -> Long.compare(a[0], b[0]));
                assertEquals(0, parts.getFirst()[0]);
                assertEquals(count, parts.getLast()[1]);
                for (int i = 1; i < parts.size(); i++) {
                    assertEquals(parts.get(i - 1)[1], parts.get(i)[0], "no gap, no overlap");
                    assertTrue(parts.get(i)[1] - parts.get(i)[0] >= 64, "at least the grain");
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 3})
    void anExceptionReachesTheCallerAfterTheOthersHaveEnded(int threads) {
        try (Workers workers = team(threads)) {
            IllegalStateException thrown = new IllegalStateException("piece 5");
            AtomicInteger running = new AtomicInteger();
            assertSame(thrown, assertFails(IllegalStateException.class, () -> workers.run(40, i -> {
                running.incrementAndGet();
                try {
                    if (i == 5) {
                        throw thrown;
                    }
                } finally {
                    running.decrementAndGet();
                }
            }), "piece 5"));
            assertEquals(0, running.get());
            AtomicInteger done = new AtomicInteger();
            workers.run(10, i -> done.incrementAndGet());
            assertEquals(10, done.get(), "the team works on");
        }
    }

    @Test
    void errorsAndCheckedExceptionsPassUnchanged() {
        try (Workers workers = team(2)) {
            assertFails(StackOverflowError.class, () -> workers.run(4, i -> {
                throw new StackOverflowError("deep");
            }), "deep");
            assertFails(IOException.class, () -> workers.run(4, i -> WorkersTest.<RuntimeException>sneak(new IOException("disk"))), "disk");
        }
    }

    @SuppressWarnings("unchecked")
    private static <T extends Throwable> void sneak(Throwable thrown) throws T {
        throw (T) thrown;
    }

    @Test
    void aLoopWithinALoopRunsOnItsOwnThread() {
        try (Workers workers = team(3)) {
            AtomicInteger inner = new AtomicInteger();
            workers.run(6, i -> {
                Thread outer = Thread.currentThread();
                workers.run(10, j -> {
                    assertSame(outer, Thread.currentThread());
                    inner.incrementAndGet();
                });
            });
            assertEquals(60, inner.get());
        }
    }

    @Test
    void anExceptionOfAnInnerLoopReachesTheCaller() {
        try (Workers workers = team(2)) {
            assertFails(IllegalStateException.class, () -> workers.run(4, i -> workers.run(4, j -> {
                throw new IllegalStateException("inner");
            })), "inner");
            Set<Thread> threads = ConcurrentHashMap.newKeySet();
            CountDownLatch both = new CountDownLatch(2);
            workers.run(2, i -> {
                threads.add(Thread.currentThread());
                both.countDown();
                await(both);
            });
            assertEquals(2, threads.size(), "the calling thread is not taken for a busy one afterwards");
        }
    }

    @Test
    void twoCallersTakeTurns() throws InterruptedException {
        try (Workers workers = team(2)) {
            AtomicInteger sum = new AtomicInteger();
            Runnable caller = () -> {
                for (int job = 0; job < 500; job++) {
                    workers.run(4, i -> sum.incrementAndGet());
                }
            };
            Thread other = Thread.ofPlatform().start(caller);
            caller.run();
            other.join();
            assertEquals(4000, sum.get());
        }
    }

    @Test
    void aClosedTeamRefusesAndItsThreadsEnd() throws InterruptedException {
        Set<Thread> threads = ConcurrentHashMap.newKeySet();
        Workers workers = team(2);
        CountDownLatch both = new CountDownLatch(2);
        workers.run(2, i -> {
            threads.add(Thread.currentThread());
            both.countDown();
            await(both);
        });
        threads.remove(Thread.currentThread());
        workers.close();
        for (Thread thread : threads) {
            assertTrue(thread.isDaemon());
            assertTrue(thread.getName().startsWith("jqlora-worker-"), thread.getName());
            thread.join(5000);
            assertTrue(!thread.isAlive(), thread + " ended");
        }
        assertFails(IllegalStateException.class, () -> workers.run(2, i -> { }), "Workers: closed");
    }

    @Test
    void atLeastOneThread() {
        assertFails(IllegalArgumentException.class, () -> team(0), "threads is 0", "at least 1");
    }

    @Test
    void whoIsAlone() {
        try (Workers one = team(1); Workers two = team(2)) {
            assertTrue(one.isAlone());
            assertFalse(two.isAlone());
            AtomicInteger alone = new AtomicInteger();
            two.run(4, i -> alone.addAndGet(two.isAlone() && one.isAlone() ? 1 : 0));
            assertEquals(4, alone.get(), "within a loop");
            assertFalse(two.isAlone());
        }
    }

    @Test
    void manyCallersAtOnce() throws InterruptedException {
        try (Workers workers = team(3)) {
            AtomicInteger sum = new AtomicInteger();
            List<Thread> callers = new ArrayList<>();
            for (int caller = 0; caller < 6; caller++) {
                callers.add(Thread.ofPlatform().start(() -> {
                    for (int job = 0; job < 300; job++) {
                        AtomicInteger mine = new AtomicInteger();
                        workers.run(5, i -> mine.addAndGet(i));
                        sum.addAndGet(mine.get());                // all pieces of its own loop, at once after it
                    }
                }));
            }
            for (Thread caller : callers) {
                caller.join();
            }
            assertEquals(6 * 300 * 10, sum.get());
        }
    }

    /** An interrupt cuts no loop short, is not lost, and does not make a waiting thread burn its processor. */
    @Test
    void anInterruptIsKept() {
        try (Workers workers = team(2)) {
            CountDownLatch taken = new CountDownLatch(1);
            AtomicInteger done = new AtomicInteger();
            long[] before = {0};
            workers.run(2, piece -> {
                if (Thread.currentThread().getName().startsWith("jqlora-worker-")) {
                    taken.countDown();
                    sleep(300);
                } else {
                    await(taken);
                    before[0] = cpuNanos(Thread.currentThread());
                    Thread.currentThread().interrupt();
                }
                done.incrementAndGet();
            });
            long used = cpuNanos(Thread.currentThread()) - before[0];
            assertTrue(Thread.interrupted(), "the interrupt status");
            assertEquals(2, done.get());
            assertTrue(used < 100_000_000, "the caller used " + used + " ns of its processor while it waited 300 ms");
        }
    }

    /** The threads of a team that has nothing to do use no processor. */
    @Test
    void idleThreadsSleep() throws InterruptedException {
        Set<Thread> threads = ConcurrentHashMap.newKeySet();
        try (Workers workers = team(3)) {
            CountDownLatch all = new CountDownLatch(3);
            workers.run(3, i -> {
                threads.add(Thread.currentThread());
                all.countDown();
                await(all);
            });
            threads.remove(Thread.currentThread());
            assertEquals(2, threads.size());
            Thread.sleep(50);
            for (Thread thread : threads) {
                thread.interrupt();                               // which must not keep it awake
            }
            Thread.sleep(50);
            long before = threads.stream().mapToLong(WorkersTest::cpuNanos).sum();
            Thread.sleep(400);
            long used = threads.stream().mapToLong(WorkersTest::cpuNanos).sum() - before;
            assertTrue(used < 20_000_000, "two idle threads used " + used + " ns of processor in 400 ms");
        }
    }

    /** A caller whose helper is slow, as one that has lost its processor, sleeps until the piece is done. */
    @Test
    void aWaitingCallerSleeps() {
        try (Workers workers = team(2)) {
            CountDownLatch taken = new CountDownLatch(1);
            long[] before = {0};
            workers.run(2, piece -> {
                if (Thread.currentThread().getName().startsWith("jqlora-worker-")) {
                    taken.countDown();
                    sleep(400);
                } else {
                    await(taken);
                    before[0] = cpuNanos(Thread.currentThread());
                }
            });
            long used = cpuNanos(Thread.currentThread()) - before[0];
            assertTrue(used < 100_000_000, "the caller used " + used + " ns of its processor while it waited 400 ms");
        }
    }

    /** A helper that holds a piece back holds back that piece only. */
    @Test
    void theOthersTakeThePiecesOfASlowThread() {
        try (Workers workers = team(2)) {
            CountDownLatch taken = new CountDownLatch(1), rest = new CountDownLatch(99);
            workers.run(100, piece -> {
                if (Thread.currentThread().getName().startsWith("jqlora-worker-")) {
                    taken.countDown();
                    await(rest);                                  // until the caller has done all others
                } else {
                    await(taken);
                    rest.countDown();
                }
            });
            assertEquals(0, rest.getCount());
        }
    }

    @Test
    void spinningEnds() {
        assertTrue(Workers.spinUntil(() -> true));
        AtomicInteger looks = new AtomicInteger();
        assertTrue(Workers.spinUntil(() -> looks.incrementAndGet() == 3));
        assertFalse(Workers.spinUntil(() -> false));
    }

    private static void sleep(long millis) {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException interrupted) {
            throw new AssertionError(interrupted);
        }
    }

    private static long cpuNanos(Thread thread) {
        return ManagementFactory.getThreadMXBean().getThreadCpuTime(thread.threadId());
    }
}
