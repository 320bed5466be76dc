package jqlora.ops;

import static jqlora.Assert.assertSameBits;

import java.util.Random;
import java.util.stream.IntStream;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

@ParameterizedClass
@MethodSource("jqlora.ops.TestOps#backends")
class MlpAndEmbeddingTest {
    /** An exponential within 2 units, then four roundings. */
    private static final double SILU_UNITS = 4;
    private final TestOps test;

    MlpAndEmbeddingTest(TestOps test) {
        this.test = test;
    }

    @AfterEach
    void finish() throws Exception {
        test.finish();
    }

    // ---- gated activation

    @ParameterizedTest
    @CsvSource({"1, 1", "3, 5", "5, 17", "17, 3", "63, 65", "65, 63", "2, 127", "129, 129"})
    void silu(int rows, int intermediate) {
        Random random = new Random(rows);
        Matrix gateUp = test.random(random, rows, 2 * intermediate).scaled(4), dY = test.random(random, rows, intermediate);
        Tensor gateUpT = test.activation(gateUp), dGateUp = test.poisoned(test.ops().computeType(), rows, 2 * intermediate);
        test.poisonNext(rows, intermediate);
        Tensor y = test.keep(test.ops().gatedActivation(gateUpT, Activation.SILU));
        test.assertNear("y", y, ReferenceOps.silu(gateUp), SILU_UNITS);
        test.ops().gatedActivationBackward(dGateUp, test.activation(dY), gateUpT, Activation.SILU);
        test.assertNear("dGateUp", dGateUp, ReferenceOps.siluGradient(dY, gateUp), SILU_UNITS);
        test.ops().gatedActivationBackward(gateUpT, test.activation(dY), gateUpT, Activation.SILU);
        assertSameBits("dGateUp in the place of gateUp", test.values(gateUpT), test.values(dGateUp));
    }

    /** Gates where the exponential leaves the range of floats: 0 on one side, the gate itself on the other. */
    @Test
    void siluFarFromZero() {
        int n = 40;
        Matrix gateUp = Matrix.filled(1, 2 * n, 1), dY = Matrix.filled(1, n, 1);
        for (int i = 0; i < n; i++) {
            gateUp.set(0, i, (i - 20) * 10);
        }
        Tensor gateUpT = test.activation(gateUp), dGateUp = test.poisoned(test.ops().computeType(), 1, 2 * n);
        test.assertNear("y", test.keep(test.ops().gatedActivation(gateUpT, Activation.SILU)), ReferenceOps.silu(gateUp), SILU_UNITS);
        test.ops().gatedActivationBackward(dGateUp, test.activation(dY), gateUpT, Activation.SILU);
        test.assertNear("dGateUp", dGateUp, ReferenceOps.siluGradient(dY, gateUp), SILU_UNITS);
    }

    // ---- embedding

    @ParameterizedTest
    @CsvSource({"1, 1, 1, F32", "5, 3, 9, F32", "17, 63, 129, BF16", "300, 65, 127, F16", "7, 129, 500, F32"})
    void embedding(int vocab, int hidden, int rows, DType dtype) {
        Random random = new Random(vocab);
        Matrix table = Matrix.random(random, vocab, hidden).rounded(dtype).rounded(test.ops().computeType());
        Matrix dY = test.random(random, rows, hidden), dTable = Matrix.random(random, vocab, hidden).rounded(DType.F32);
        int[] ids = IntStream.range(0, rows).map(row -> row == 0 ? vocab - 1 : random.nextInt(vocab)).toArray();
        Tensor idsT = test.ids(ids), dTableT = test.floats(dTable);
        test.poisonNext(rows, hidden);
        Tensor y = test.keep(test.ops().embedding(test.upload(dtype, table, vocab, hidden), idsT));
        test.assertNear("y", y, ReferenceOps.embedding(table, ids), 0);                  // copied, exact
        test.ops().embeddingBackward(dTableT, test.activation(dY), idsT);
        test.assertNear("dTable", dTableT, dTable.plus(ReferenceOps.embeddingGradient(dY, ids, vocab)), 4);
    }
}
