package jqlora.ops;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.MethodSource;

/** The same inputs give the same bits, call after call, for a sequence alone and among others. */
@ParameterizedClass
@MethodSource("jqlora.ops.TestOps#backends")
class SameBitsTest {
    private final TestOps test;

    SameBitsTest(TestOps test) {
        this.test = test;
    }

    @AfterEach
    void finish() throws Exception {
        test.finish();
    }

    @Test
    void callAfterCall() {
        Sequences sequences = Sequences.ofLengths(7, 140, 18);
        Map<String, Matrix> first = new EveryOperation(test).tokenwise(sequences, EveryOperation.SEEDS, 99);
        Map<String, float[]> firstSums = new EveryOperation(test).sums();
        for (int i = 0; i < 2; i++) {
            EveryOperation.assertSameRows("again", new EveryOperation(test).tokenwise(sequences, EveryOperation.SEEDS, 99), first, 0);
            EveryOperation.assertSame("again", new EveryOperation(test).sums(), firstSums);
        }
    }

    @Test
    void aloneAndInABatch() {
        assumeTrue(test.sumsAreFixed(), "PyTorch chooses the order of a sum by the shape of the product");
        Sequences batch = Sequences.ofLengths(7, 140, 18);
        Map<String, Matrix> together = new EveryOperation(test).tokenwise(batch, EveryOperation.SEEDS, 0);
        for (int i = 0; i < batch.count(); i++) {
            Map<String, Matrix> alone = new EveryOperation(test).tokenwise(Sequences.ofLengths(batch.length(i)), new int[] {EveryOperation.SEEDS[i]}, 0);
            EveryOperation.assertSameRows("of sequence " + i + " alone", together, alone, batch.start(i));
        }
    }

    /** Another key, another mask: results differ where an adapter is, and only there. */
    @Test
    void dropoutGoesByTheKey() {
        Sequences sequences = Sequences.ofLengths(20);
        Map<String, Matrix> one = new EveryOperation(test).tokenwise(sequences, EveryOperation.SEEDS, 99);
        for (long key : new long[] {0, 98}) {
            Map<String, Matrix> other = new EveryOperation(test).tokenwise(sequences, EveryOperation.SEEDS, key);
            one.forEach((name, values) -> {
                boolean adapted = name.equals("inner") || name.equals("linear") || name.equals("dX of linear");
                assertEquals(adapted, !java.util.Arrays.equals(values.toArray(), other.get(name).toArray()), name);
            });
        }
    }
}
