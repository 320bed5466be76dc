package jqlora.ops;

import static jqlora.Assert.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.Map;
import java.util.function.IntFunction;
import java.util.stream.Stream;
import jqlora.ops.cpu.CpuOps;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The same inputs give the same bits. */
class SameBitsTest {
    private static final int[] SEEDS = {1, 2, 3};

    private static void assertSame(String what, Map<String, float[]> actual, Map<String, float[]> expected) {
        assertEquals(expected.keySet(), actual.keySet());
        expected.forEach((name, values) -> assertSameBits(name + " " + what, actual.get(name), values));
    }

    private static void assertSameRows(String what, Map<String, Matrix> actual, Map<String, Matrix> expected, int from) {
        assertEquals(expected.keySet(), actual.keySet());
        expected.forEach((name, rows) -> assertSameBits(name + " " + what, actual.get(name).rows(from, rows.rows()).toFloats(), rows.toFloats()));
    }

    @ParameterizedClass
    @MethodSource("jqlora.ops.TestOps#backends")
    static class OnEveryBackend {
        private final TestOps test;

        OnEveryBackend(TestOps test) {
            this.test = test;
        }

        @AfterEach
        void finish() throws Exception {
            test.finish();
        }

        @Test
        void callAfterCall() {
            Sequences sequences = Sequences.ofLengths(7, 150, 33);
            Map<String, Matrix> first = new EveryOperation(test).tokenwise(sequences, SEEDS, 99);
            Map<String, float[]> firstSums = new EveryOperation(test).sums();
            for (int i = 0; i < 2; i++) {
                assertSameRows("again", new EveryOperation(test).tokenwise(sequences, SEEDS, 99), first, 0);
                assertSame("again", new EveryOperation(test).sums(), firstSums);
            }
        }

        @Test
        void aloneAndInABatch() {
            assumeTrue(test.sumsAreFixed(), "PyTorch chooses the order of a sum by the shape of the product");
            Sequences batch = Sequences.ofLengths(7, 150, 33);
            Map<String, Matrix> together = new EveryOperation(test).tokenwise(batch, SEEDS, 0);
            for (int i = 0; i < batch.count(); i++) {
                Map<String, Matrix> alone = new EveryOperation(test).tokenwise(Sequences.ofLengths(batch.length(i)), new int[] {SEEDS[i]}, 0);
                assertSameRows("of sequence " + i + " alone", together, alone, batch.start(i));
            }
        }
    }

    static Stream<IntFunction<CpuOps>> engines() {
        return Stream.of(CpuOps::create, CpuOps::withoutVectorApi);
    }

    @ParameterizedTest
    @MethodSource("engines")
    void onAnyNumberOfThreads(IntFunction<CpuOps> engine) throws Exception {
        Sequences sequences = Sequences.ofLengths(7, 150, 33);
        Map<String, Matrix> one = null;
        Map<String, float[]> oneSums = null;
        for (int threads = 1; threads <= 3; threads++) {
            try (TestOps test = TestOps.of(threads + " threads", engine.apply(threads))) {
                Map<String, Matrix> rows = new EveryOperation(test).tokenwise(sequences, SEEDS, 99);
                Map<String, float[]> sums = new EveryOperation(test).sums();
                one = one == null ? rows : one;
                oneSums = oneSums == null ? sums : oneSums;
                assertSameRows("on " + threads + " threads", rows, one, 0);
                assertSame("on " + threads + " threads", sums, oneSums);
                test.finish();
            }
        }
    }

    /** Another key, another mask: results differ where an adapter is, and only there. */
    @ParameterizedTest
    @ValueSource(longs = {0, 98})
    void dropoutGoesByTheKey(long key) throws Exception {
        try (TestOps test = TestOps.of("Vector API", CpuOps.create(2))) {
            Sequences sequences = Sequences.ofLengths(20);
            Map<String, Matrix> one = new EveryOperation(test).tokenwise(sequences, SEEDS, 99), other = new EveryOperation(test).tokenwise(sequences, SEEDS, key);
            one.forEach((name, values) -> {
                boolean adapted = name.equals("inner") || name.equals("linear") || name.equals("dX of linear");
                assertEquals(adapted, !java.util.Arrays.equals(values.toArray(), other.get(name).toArray()), name);
            });
            test.finish();
        }
    }
}
