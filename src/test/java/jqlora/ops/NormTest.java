package jqlora.ops;


import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

@ParameterizedClass
@MethodSource("jqlora.ops.TestOps#backends")
class NormTest {
    private static final float EPS = 1e-5f;
    /** A root mean square of up to 300 squares, a product of three factors. */
    private static final double UNITS = 6;

    private final TestOps test;

    NormTest(TestOps test) {
        this.test = test;
    }

    @AfterEach
    void finish() throws Exception {
        test.finish();
    }

    record Case(int rows, int hidden, DType weightType, boolean trained) {
        static Stream<Arguments> all() {
            List<Case> cases = List.of(new Case(1, 1, DType.F32, true), new Case(3, 5, DType.F32, true), new Case(5, 3, DType.BF16, false),
                    new Case(17, 63, DType.F16, false), new Case(63, 17, DType.F32, true), new Case(64, 64, DType.BF16, false),
                    new Case(65, 127, DType.F32, false), new Case(127, 65, DType.F32, true), new Case(129, 300, DType.F32, true), new Case(2, 8200, DType.BF16, false));
            return cases.stream().flatMap(c -> Arrays.stream(NormUnderTest.Kind.values()).map(kind -> Arguments.of(kind, c)));
        }
    }

    @ParameterizedTest
    @MethodSource("jqlora.ops.NormTest$Case#all")
    void rows(NormUnderTest.Kind kind, Case c) {
        Random random = new Random(c.rows * 1000L + c.hidden);
        NormUnderTest under = new NormUnderTest(test, random, c.hidden, kind, c.weightType, c.trained);
        Matrix x = test.random(random, c.rows, c.hidden);
        Tensor xT = test.activation(x), statistics = under.statistics(c.rows);

        test.poisonNext(c.rows, c.hidden);
        Tensor y = test.keep(Calls.norm(test.ops(), xT, under.norm(), statistics));
        under.assertForward(y, statistics, x, UNITS);

        Matrix dY = test.random(random, c.rows, c.hidden), dX = test.random(random, c.rows, c.hidden);
        Tensor dXT = test.activation(dX);
        Calls.normBackward(test.ops(), dXT, test.activation(dY), xT, under.norm(), statistics);
        under.assertInputGradient(dXT, dX, dY, x, UNITS);
        under.assertGradients(dY, x, UNITS);
    }

    /** Rows far from zero: the deviations from a mean that is a thousand times larger. */
    @ParameterizedTest
    @CsvSource({"5, 64", "3, 301"})
    void aLayerNormOfRowsFarFromZero(int rows, int hidden) {
        Random random = new Random(hidden);
        NormUnderTest under = new NormUnderTest(test, random, hidden, NormUnderTest.Kind.LAYER, DType.F32, true);
        Matrix x = Matrix.random(random, rows, hidden).map(value -> 1000 + value).rounded(test.ops().computeType()), dY = test.random(random, rows, hidden);
        Tensor xT = test.activation(x), statistics = under.statistics(rows), dX = test.keep(test.ops().zeros(test.ops().computeType(), rows, hidden));
        under.assertForward(test.keep(Calls.norm(test.ops(), xT, under.norm(), statistics)), statistics, x, UNITS);
        Calls.normBackward(test.ops(), dX, test.activation(dY), xT, under.norm(), statistics);
        under.assertInputGradient(dX, Matrix.zeros(rows, hidden), dY, x, UNITS);
        under.assertGradients(dY, x, UNITS);
    }

    record HeadCase(int rows, AttentionShape shape, DType weightType, boolean qTrained, boolean kTrained) {
        static Stream<HeadCase> all() {
            return Stream.of(new HeadCase(1, new AttentionShape(1, 1, 2, 0, 1), DType.F32, true, true),
                    new HeadCase(5, new AttentionShape(4, 2, 6, 0, 1), DType.BF16, false, false),
                    new HeadCase(17, new AttentionShape(4, 1, 64, 0, 1), DType.F32, true, false),
                    new HeadCase(65, new AttentionShape(3, 3, 16, 0, 1), DType.F32, false, true),
                    new HeadCase(33, new AttentionShape(9, 3, 34, 0, 1), DType.F32, true, true));
        }
    }

    @ParameterizedTest
    @MethodSource("jqlora.ops.NormTest$HeadCase#all")
    void headNorm(HeadCase c) {
        Random random = new Random(c.rows);
        int dim = c.shape.headDim(), columns = c.shape.qkvColumns();
        Matrix qkv = test.random(random, c.rows, columns);
        Matrix q = Matrix.random(random, 1, dim).rounded(c.weightType), k = Matrix.random(random, 1, dim).rounded(c.weightType);
        Matrix dQ = Matrix.random(random, 1, dim).rounded(DType.F32), dK = Matrix.random(random, 1, dim).rounded(DType.F32);
        Parameter qWeight = c.qTrained ? test.trained("q_norm.weight", q, dQ, dim) : test.frozen("q_norm.weight", c.weightType, q, dim);
        Parameter kWeight = c.kTrained ? test.trained("k_norm.weight", k, dK, dim) : test.frozen("k_norm.weight", c.weightType, k, dim);
        Tensor qkvT = test.activation(qkv), rstd = test.poisoned(DType.F32, c.rows, c.shape.numAttentionHeads() + c.shape.numKeyValueHeads());

        test.poisonNext(c.rows, columns);
        Tensor y = test.keep(Calls.headNorm(test.ops(), qkvT, c.shape, qWeight, kWeight, EPS, rstd));
        test.assertNear("y", y, ReferenceNorm.headForward(qkv, c.shape, q, k, EPS), UNITS);
        test.assertNear("rstd", rstd, ReferenceNorm.headRstd(qkv, c.shape, EPS), UNITS);
        test.assertNear("qkv is read only", qkvT, qkv, 0);

        Matrix dY = test.random(random, c.rows, columns);
        Tensor dQkv = test.activation(dY);
        Calls.headNormBackward(test.ops(), dQkv, qkvT, c.shape, qWeight, kWeight, rstd);
        test.assertNear("dQkv", dQkv, ReferenceNorm.headInputGradient(dY, qkv, c.shape, q, k, EPS), UNITS);
        if (c.qTrained) {
            test.assertNear("dQ weight", qWeight.gradient(), dQ.plus(ReferenceNorm.headWeightGradient(true, dY, qkv, c.shape, EPS)), UNITS);
        }
        if (c.kTrained) {
            test.assertNear("dK weight", kWeight.gradient(), dK.plus(ReferenceNorm.headWeightGradient(false, dY, qkv, c.shape, EPS)), UNITS);
        }
    }
}
