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

    record Case(int heads, int kvHeads, int headDim, int slidingWindow, float softCap, float alibiMax, int... lengths) {
        Case(int heads, int kvHeads, int headDim, int slidingWindow, int... lengths) {
            this(heads, kvHeads, headDim, slidingWindow, 0, 0, lengths);
        }

        AttentionShape shape() {
            return new AttentionShape(heads, kvHeads, headDim, slidingWindow, (float) (1 / Math.sqrt(headDim)), softCap, alibiMax);
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
            cases.addAll(List.of(new Case(4, 2, 16, 0, 2f, 0, 5, 1, 140), new Case(2, 1, 64, 9, 1.5f, 0, 33), new Case(4, 4, 16, 0, 0f, 8f, 5, 1, 140),
                    new Case(6, 3, 8, 0, 0f, 8f, 70, 3), new Case(12, 12, 32, 20, 3f, 4, 65)));
            return cases.stream();
        }

        @Override
        public String toString() {
            return heads + "/" + kvHeads + " heads of " + headDim + ", window " + slidingWindow + (softCap == 0 ? "" : ", cap " + softCap) + (alibiMax == 0 ? "" : ", linear biases to " + alibiMax) + ", lengths " + Arrays.toString(lengths);
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
                    new CacheCase(new Case(4, 2, 16, 0, 2f, 8, 1, 1, 1), List.of(new int[] {5, 1, 150}, one, new int[] {2, 7, 1})),
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

    record StepCase(Case c, int maxLength, int[] past) {
        static Stream<StepCase> all() {
            int[] none = {};
            return Stream.of(new StepCase(new Case(1, 1, 2, 0, none), 5, new int[] {1, 3}), new StepCase(new Case(4, 2, 6, 0, none), 40, new int[] {1, 33, 7}),
                    new StepCase(new Case(4, 2, 8, 0, none), 33, new int[] {1, 32, 31, 2}), new StepCase(new Case(9, 3, 16, 0, none), 700, new int[] {3, 600, 64}),
                    new StepCase(new Case(9, 1, 64, 0, none), 300, new int[] {299, 128}), new StepCase(new Case(8, 2, 128, 0, none), 400, new int[] {127, 380}),
                    new StepCase(new Case(17, 1, 32, 0, none), 100, new int[] {65}), new StepCase(new Case(2, 1, 256, 0, none), 150, new int[] {149, 97, 1}),
                    new StepCase(new Case(4, 1, 64, 100, none), 400, new int[] {50, 99, 100, 350}), new StepCase(new Case(3, 3, 16, 1, none), 90, new int[] {1, 80}),
                    new StepCase(new Case(3, 3, 12, 7, none), 90, new int[] {1, 80}), new StepCase(new Case(7, 1, 80, 0, none), 90, new int[] {30, 80}),
                    new StepCase(new Case(6, 3, 16, 0, 2f, 8, none), 90, new int[] {30, 80, 1}), new StepCase(new Case(1, 1, 8, 0, none), 4000, new int[] {3999, 2500}));
        }
    }

    /** Tokens of which only the device need know where they stand, twice so that nothing is left over from the first time; up to 4000 keys, so more rounding. */
    @ParameterizedTest
    @MethodSource("jqlora.ops.AttentionTest$StepCase#all")
    void cachedAttentionOfOneTokenEach(StepCase step) {
        AttentionShape shape = step.c.shape();
        int count = step.past.length;
        Sequences all = Sequences.ofLengths(Arrays.stream(step.past).map(past -> past + 1).toArray());
        Matrix qkv = test.random(new Random(7), all.rows(), shape.qkvColumns());
        Matrix expected = pick(ReferenceAttention.forward(qkv, shape, all).y(), IntStream.range(0, count).map(i -> all.start(i + 1) - 1).toArray());
        DType compute = test.ops().computeType();
        KvCache cache = new KvCache(List.of(test.poisoned(compute, (long) count * step.maxLength, shape.keyColumns())),
                List.of(test.poisoned(compute, (long) count * step.maxLength, shape.keyColumns())), step.maxLength);
        int[] before = IntStream.range(0, count).flatMap(i -> IntStream.range(all.start(i), all.start(i + 1) - 1)).toArray();
        test.keep(test.ops().cachedAttention(test.activation(pick(qkv, before)), shape, Sequences.ofLengths(step.past), cache, 0));
        Tensor last = test.activation(pick(qkv, IntStream.range(0, count).map(i -> all.start(i + 1) - 1).toArray())), positions = test.ids(step.past);
        for (int time = 0; time < 2; time++) {
            test.poisonNext(count, shape.queryColumns());
            test.assertNear("y", test.keep(test.ops().cachedAttention(last, shape, positions, cache, 0)), expected, 2 * UNITS);
        }
        // the new keys lie in the cache: the token after them sees them
        int[] next = Arrays.stream(step.past).filter(past -> past + 1 < step.maxLength).toArray();
        if (next.length == count) {
            Matrix more = qkv.rows(0, count);
            Sequences longer = Sequences.ofLengths(Arrays.stream(step.past).map(past -> past + 2).toArray());
            Matrix joined = Matrix.zeros(longer.rows(), shape.qkvColumns());
            for (int i = 0; i < count; i++) {
                joined.put(longer.start(i), 0, qkv.rows(all.start(i), all.length(i)));
                joined.put(longer.start(i + 1) - 1, 0, more.rows(i, 1));
            }
            Tensor y = test.keep(test.ops().cachedAttention(test.activation(more), shape, test.ids(Arrays.stream(step.past).map(past -> past + 1).toArray()), cache, 0));
            test.assertNear("y of the next", y, pick(ReferenceAttention.forward(joined, shape, longer).y(), IntStream.range(0, count).map(i -> longer.start(i + 1) - 1).toArray()), 2 * UNITS);
        }
    }

    private static Matrix pick(Matrix from, int[] rows) {
        Matrix picked = Matrix.zeros(rows.length, from.columns());
        for (int i = 0; i < rows.length; i++) {
            picked.put(i, 0, from.rows(rows[i], 1));
        }
        return picked;
    }
}
