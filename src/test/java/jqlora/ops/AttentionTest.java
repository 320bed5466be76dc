package jqlora.ops;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

@ParameterizedClass
@MethodSource("jqlora.ops.TestOps#backends")
class AttentionTest {
    /** A score of up to 128 products, whose error the exponential turns into a relative one; then a sum over the keys. */
    private static final double UNITS = 10;
    private final TestOps test;

    AttentionTest(TestOps test) {
        this.test = test;
    }

    @AfterEach
    void finish() throws Exception {
        test.finish();
    }

    record Case(int heads, int kvHeads, int headDim, int slidingWindow, int... lengths) {
        AttentionShape shape() {
            return new AttentionShape(heads, kvHeads, headDim, slidingWindow, (float) (1 / Math.sqrt(headDim)));
        }

        int rows() {
            return Arrays.stream(lengths).sum();
        }

        static Stream<Case> all() {
            List<Case> cases = new ArrayList<>(List.of(new Case(1, 1, 2, 0, 1), new Case(4, 2, 16, 0, 5, 1, 17), new Case(4, 1, 8, 0, 63, 3, 65),
                    new Case(3, 3, 6, 0, 127, 129), new Case(9, 3, 64, 0, 17, 64), new Case(2, 1, 128, 0, 33), new Case(1, 1, 4, 0, 300, 257, 1)));
            for (int window : new int[] {1, 8, 128, 1000}) {
                cases.add(new Case(4, 2, 6, window, 5, 129, 1, 64));
                cases.add(new Case(3, 1, 16, window, 270));
            }
            return cases.stream();
        }

        @Override
        public String toString() {
            return heads + "/" + kvHeads + " heads of " + headDim + ", window " + slidingWindow + ", lengths " + Arrays.toString(lengths);
        }
    }

    @ParameterizedTest
    @MethodSource("jqlora.ops.AttentionTest$Case#all")
    void attention(Case c) {
        AttentionShape shape = c.shape();
        Sequences sequences = Sequences.ofLengths(c.lengths);
        Random random = new Random(c.rows());
        Matrix qkv = test.random(random, c.rows(), shape.qkvColumns()), dY = test.random(random, c.rows(), shape.queryColumns());
        Tensor qkvT = test.activation(qkv), logSumExp = test.poisoned(DType.F32, c.rows(), c.heads);
        Tensor dQkv = test.poisoned(test.ops().computeType(), c.rows(), shape.qkvColumns());

        test.poisonNext(c.rows(), shape.queryColumns());
        Tensor y = test.keep(test.ops().attention(qkvT, shape, sequences, logSumExp));
        ReferenceAttention.Result expected = ReferenceAttention.forward(qkv, shape, sequences);
        test.assertNear("y", y, expected.y(), UNITS);
        test.assertNear("logSumExp", logSumExp, expected.logSumExp(), UNITS);
        test.assertNear("without logSumExp", test.keep(test.ops().attention(qkvT, shape, sequences, null)), expected.y(), UNITS);

        test.ops().attentionBackward(dQkv, test.activation(dY), qkvT, y, logSumExp, shape, sequences);
        test.assertNear("dQkv", dQkv, ReferenceAttention.backward(dY, qkv, shape, sequences), UNITS);
    }

    /** Scores in the hundreds: a softmax that does not take off the maximum would overflow. */
    @ParameterizedTest
    @MethodSource("jqlora.ops.AttentionTest$Case#all")
    void attentionIsStable(Case c) {
        AttentionShape shape = c.shape();
        Sequences sequences = Sequences.ofLengths(c.lengths);
        Matrix qkv = test.random(new Random(1), c.rows(), shape.qkvColumns()).scaled(4);
        Matrix y = ReferenceAttention.forward(qkv, shape, sequences).y();
        // the absolute error of a score in the hundreds is the relative error of its exponential
        test.assertNear("y", test.keep(test.ops().attention(test.activation(qkv), shape, sequences, null)), y, 10 * UNITS);
    }

    // ---- decoding with a cache

    record CacheCase(Case c, List<int[]> steps) {
        static Stream<CacheCase> all() {
            int[] one = {1, 1, 1};
            return Stream.of(new CacheCase(new Case(4, 2, 6, 0, 1, 1, 1), List.of(new int[] {5, 1, 9}, one, one, new int[] {2, 7, 1})),
                    new CacheCase(new Case(9, 3, 16, 0, 1, 1, 1), List.of(new int[] {130, 3, 200}, one, new int[] {1, 140, 1}, one)),
                    new CacheCase(new Case(3, 3, 8, 4, 1, 1, 1), List.of(new int[] {2, 30, 1}, one, one, one, new int[] {9, 1, 5})),
                    new CacheCase(new Case(4, 1, 64, 1, 1, 1, 1), List.of(new int[] {1, 2, 3}, one)));
        }
    }

    /** Prompt and steps, one after the other, against all tokens at once. */
    @ParameterizedTest
    @MethodSource("jqlora.ops.AttentionTest$CacheCase#all")
    void cachedAttention(CacheCase cached) {
        AttentionShape shape = cached.c.shape();
        int count = 3, maxLength = 350;
        int[] total = new int[count];
        cached.steps.forEach(step -> Arrays.setAll(total, i -> total[i] + step[i]));
        Sequences all = Sequences.ofLengths(total);
        Matrix qkv = test.random(new Random(7), all.rows(), shape.qkvColumns()), expected = ReferenceAttention.forward(qkv, shape, all).y();

        DType compute = test.ops().computeType();
        Tensor other = test.poisoned(compute, count * maxLength, shape.keyColumns());
        KvCache cache = new KvCache(List.of(other, test.poisoned(compute, count * maxLength, shape.keyColumns())),
                List.of(other, test.poisoned(compute, count * maxLength, shape.keyColumns())), maxLength);
        int[] past = new int[count];
        for (int[] step : cached.steps) {
            Sequences sequences = Sequences.continuing(step, past);
            int[] rows = IntStream.range(0, count).flatMap(i -> IntStream.range(0, step[i]).map(j -> all.start(i) + past[i] + j)).toArray();
            Tensor y = test.keep(test.ops().cachedAttention(test.activation(pick(qkv, rows)), shape, sequences, cache, 1));
            test.assertNear("y after " + Arrays.toString(past), y, pick(expected, rows), UNITS);
            Arrays.setAll(past, i -> past[i] + step[i]);
        }
    }

    private static Matrix pick(Matrix from, int[] rows) {
        Matrix picked = Matrix.zeros(rows.length, from.columns());
        for (int i = 0; i < rows.length; i++) {
            picked.put(i, 0, from.rows(rows[i], 1));
        }
        return picked;
    }

    // ---- rotary embedding

    @ParameterizedTest
    @MethodSource("jqlora.ops.AttentionTest$Case#all")
    void rope(Case c) {
        AttentionShape shape = c.shape();
        Random random = new Random(3);
        int half = c.headDim / 2, positions = 400;
        Matrix angles = Matrix.zeros(positions, half);
        for (int position = 0; position < positions; position++) {
            for (int i = 0; i < half; i++) {
                angles.set(position, i, position * Math.pow(10000, -(double) i / half));
            }
        }
        Matrix cos = angles.map(Math::cos).rounded(DType.F32), sin = angles.map(Math::sin).rounded(DType.F32);
        RopeTable table = new RopeTable(test.floats(cos), test.floats(sin));
        int[] at = random.ints(c.rows(), 0, positions).toArray();
        Matrix qkv = test.random(random, c.rows(), shape.qkvColumns());
        Tensor tensor = test.activation(qkv), atT = test.ids(at);
        test.ops().ropeInPlace(tensor, shape, table, atT);
        test.assertNear("rotated", tensor, ReferenceAttention.rotate(qkv, shape, cos, sin, at, 1), 2);
        tensor = test.activation(qkv);
        test.ops().ropeBackwardInPlace(tensor, shape, table, atT);
        test.assertNear("rotated back", tensor, ReferenceAttention.rotate(qkv, shape, cos, sin, at, -1), 2);
    }
}
