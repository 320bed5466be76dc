package jqlora.ops.cpu;

import java.util.Map;
import java.util.function.IntFunction;
import java.util.stream.Stream;
import jqlora.ops.EveryOperation;
import jqlora.ops.Matrix;
import jqlora.ops.Sequences;
import jqlora.ops.TestOps;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The number of threads changes no bit. */
class ThreadsTest {
    static Stream<IntFunction<CpuOps>> engines() {
        return Stream.of(CpuOps::create, CpuOps::withoutVectorApi);
    }

    @ParameterizedTest
    @MethodSource("engines")
    void sameBitsOnAnyNumberOfThreads(IntFunction<CpuOps> engine) throws Exception {
        Sequences sequences = Sequences.ofLengths(7, 140, 18);
        Map<String, Matrix> one = null;
        Map<String, float[]> oneSums = null;
        for (int threads : new int[] {1, 2, 3, 5}) {
            try (TestOps test = TestOps.of(threads + " threads", engine.apply(threads))) {
                Map<String, Matrix> rows = new EveryOperation(test).tokenwise(sequences, EveryOperation.SEEDS, 99);
                Map<String, float[]> sums = new EveryOperation(test).sums();
                one = one == null ? rows : one;
                oneSums = oneSums == null ? sums : oneSums;
                EveryOperation.assertSameRows("on " + threads + " threads", rows, one, 0);
                EveryOperation.assertSame("on " + threads + " threads", sums, oneSums);
                test.finish();
            }
        }
    }
}
