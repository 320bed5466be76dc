package jqlora.ops;

import static jqlora.Assert.assertSameBits;

import java.util.Arrays;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

@ParameterizedClass
@MethodSource("jqlora.ops.TestOps#backends")
class MlpAndEmbeddingTest {
    /** An exponential within 4 units, a polynomial within 3, five roundings; in bfloat16 the result's own, which is 2. */
    private static final double FLOAT_UNITS = 12, BFLOAT16_UNITS = 4;

    private final TestOps test;

    MlpAndEmbeddingTest(TestOps test) {
        this.test = test;
    }

    @AfterEach
    void finish() throws Exception {
        test.finish();
    }

    // ---- gated activation

    private double units() {
        return test.ops().computeType() == DType.F32 ? FLOAT_UNITS : BFLOAT16_UNITS;
    }

    static Stream<Arguments> cases() {
        int[][] sizes = {{1, 1}, {3, 5}, {5, 17}, {17, 3}, {63, 65}, {65, 63}, {2, 127}, {129, 129}, {3, 1000}};
        return Arrays.stream(Activation.values()).flatMap(activation -> Arrays.stream(sizes).map(size -> Arguments.of(activation, size[0], size[1])));
    }

    @ParameterizedTest
    @MethodSource("cases")
    void gated(Activation activation, int rows, int intermediate) {
        Random random = new Random(rows);
        Matrix gateUp = test.random(random, rows, 2 * intermediate).scaled(4), dY = test.random(random, rows, intermediate);
        Tensor gateUpT = test.activation(gateUp), dGateUp = test.poisoned(test.ops().computeType(), rows, 2 * intermediate);
        test.poisonNext(rows, intermediate);
        Tensor y = test.keep(Calls.gatedActivation(test.ops(), gateUpT, activation));
        test.assertNear("y", y, ReferenceOps.gated(gateUp, activation), ReferenceOps.gatedTerms(gateUp, activation), units());
        Calls.gatedActivationBackward(test.ops(), dGateUp, test.activation(dY), gateUpT, activation);
        test.assertNear("dGateUp", dGateUp, ReferenceOps.gatedGradient(dY, gateUp, activation), ReferenceOps.gatedGradientTerms(dY, gateUp, activation), units());
        Calls.gatedActivationBackward(test.ops(), gateUpT, test.activation(dY), gateUpT, activation);
        assertSameBits("dGateUp in the place of gateUp", test.values(gateUpT), test.values(dGateUp));
    }

    @ParameterizedTest
    @MethodSource("cases")
    void withoutAGate(Activation activation, int rows, int intermediate) {
        Random random = new Random(rows);
        Matrix x = test.random(random, rows, intermediate).scaled(4), dY = test.random(random, rows, intermediate), ones = Matrix.filled(rows, intermediate, 1);
        Matrix pair = Matrix.zeros(rows, 2 * intermediate);                // as a gate whose up is 1
        pair.put(0, 0, x);
        pair.put(0, intermediate, ones);
        Tensor xT = test.activation(x), dX = test.poisoned(test.ops().computeType(), rows, intermediate);
        Input input = new Input.Activated(xT, activation);
        test.poisonNext(rows, intermediate);
        Tensor y = test.keep(test.ops().compute(input));
        test.assertNear("y", y, ReferenceOps.gated(pair, activation), ReferenceOps.gatedTerms(pair, activation), units());
        test.ops().computeBackward(dX, test.activation(dY), input);
        Matrix expected = ReferenceOps.gatedGradient(dY, pair, activation).columns(0, intermediate), terms = ReferenceOps.gatedGradientTerms(dY, pair, activation).columns(0, intermediate);
        test.assertNear("dX", dX, expected, terms, units());
        test.ops().computeBackward(xT, test.activation(dY), input);
        assertSameBits("dX in the place of x", test.values(xT), test.values(dX));
    }

    /** Gates where the exponential leaves the range of floats: 0 on one side, the gate itself on the other. */
    @ParameterizedTest
    @EnumSource
    void gatesFarFromZero(Activation activation) {
        int n = 40;
        Matrix gateUp = Matrix.filled(1, 2 * n, 1), dY = Matrix.filled(1, n, 1);
        for (int i = 0; i < n; i++) {
            gateUp.set(0, i, (i - 20) * 10);
        }
        Tensor gateUpT = test.activation(gateUp), dGateUp = test.poisoned(test.ops().computeType(), 1, 2 * n);
        test.assertNear("y", test.keep(Calls.gatedActivation(test.ops(), gateUpT, activation)), ReferenceOps.gated(gateUp, activation), ReferenceOps.gatedTerms(gateUp, activation), units());
        Calls.gatedActivationBackward(test.ops(), dGateUp, test.activation(dY), gateUpT, activation);
        test.assertNear("dGateUp", dGateUp, ReferenceOps.gatedGradient(dY, gateUp, activation), ReferenceOps.gatedGradientTerms(dY, gateUp, activation), units());
    }

    // ---- embedding

    @ParameterizedTest
    @CsvSource({"1, 1, 1, F32, 1", "5, 3, 9, F32, 1", "17, 63, 129, BF16, 1", "300, 65, 127, F16, 7.9375", "7, 129, 500, F32, 45.25", "5, 8, 20, BF16, 0.3"})
    void embedding(int vocab, int hidden, int rows, DType dtype, float scale) {
        Random random = new Random(vocab);
        Matrix table = Matrix.random(random, vocab, hidden).rounded(dtype).rounded(test.ops().computeType());
        Matrix dY = test.random(random, rows, hidden), dTable = Matrix.random(random, vocab, hidden).rounded(DType.F32);
        int[] ids = IntStream.range(0, rows).map(row -> row == 0 ? vocab - 1 : random.nextInt(vocab)).toArray();
        Tensor idsT = test.ids(ids), dTableT = test.floats(dTable);
        test.poisonNext(rows, hidden);
        Tensor y = test.keep(test.ops().embedding(test.upload(dtype, table, vocab, hidden), idsT, scale));
        test.assertNear("y", y, ReferenceOps.embedding(table, ids).scaled(scale).rounded(DType.F32).rounded(test.ops().computeType()), 0);      // rounded once, exact
        test.ops().embeddingBackward(dTableT, test.activation(dY), idsT, 0, scale);
        test.assertNear("dTable", dTableT, dTable.plus(ReferenceOps.embeddingGradient(dY, ids, vocab).scaled(scale)), 4);
    }

    /** As OPT's positions: id 0 is row 2. */
    @Test
    void rowsOfATableFromALaterOneOn() {
        Random random = new Random(4);
        Matrix table = test.random(random, 9, 10), dY = test.random(random, 3, 10);
        Tensor tableT = test.upload(DType.F32, table, 9, 10), ids = test.ids(0, 6, 1), dTable = test.keep(test.ops().zeros(DType.F32, 9, 10));
        test.assertNear("y", test.keep(test.ops().embedding(tableT, ids, 2, 1f)), ReferenceOps.embedding(table, new int[] {2, 8, 3}), 0);
        test.ops().embeddingBackward(dTable, test.activation(dY), ids, 2, 1f);
        test.assertNear("dTable", dTable, ReferenceOps.embeddingGradient(dY, new int[] {2, 8, 3}, 9), 0);
    }
}
