package jqlora.ops;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The choice of the next token, against {@link Sampler} on the host, and the repetition of a step. */
@ParameterizedClass
@MethodSource("jqlora.ops.TestOps#backends")
class NextTokensTest {
    private final TestOps test;

    NextTokensTest(TestOps test) {
        this.test = test;
    }

    @AfterEach
    void finish() throws Exception {
        test.finish();
    }

    private int[] integers(Tensor tensor) {
        return test.ops().download(tensor).toInts();
    }

    private Tensor doubles(double[] values, long... dims) {
        MemorySegment bytes = MemorySegment.ofArray(new byte[8 * values.length]);
        MemorySegment.copy(values, 0, bytes, TensorView.DOUBLE, 0, values.length);
        return test.keep(test.ops().upload(new TensorView(DType.F64, Shape.of(dims), bytes)));
    }

    private static float[] row(Matrix matrix, int row) {
        return matrix.rows(row, 1).toFloats();
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 7, 8, 63, 1000, 8191, 33_001})
    void greedy(int vocab) {
        int rows = 5;
        Matrix scores = test.random(new Random(vocab), rows, vocab);
        // few different values, so that several are the highest; nothing above zero; all equal
        scores.put(2, 0, scores.rows(2, 1).map(value -> Math.clamp(Math.rint(value), -1, 1)));
        scores.put(3, 0, scores.rows(3, 1).map(value -> -Math.abs(value)));
        scores.put(4, 0, scores.rows(4, 1).map(value -> 0));
        Tensor ids = test.ids(-1, -1, -1, -1, -1), positions = test.ids(0, 5, 9, 1, 2);
        test.ops().nextTokens(ids, positions, test.activation(scores), new Sampler.Greedy(), null);
        assertArrayEquals(IntStream.range(0, rows).map(i -> new Sampler.Greedy().next(row(scores, i), 0)).toArray(), integers(ids));
        assertArrayEquals(new int[] {1, 6, 10, 2, 3}, integers(positions));
    }

    /** A fine comb of random numbers against the host: the same tokens, but where a number lies within rounding of the limit between two. */
    @ParameterizedTest
    @CsvSource({"1, 0, 1, 5", "1, 0, 1, 301", "0.7, 0, 1, 1003", "1.3, 20, 1, 301", "1, 50, 0.9, 1003", "1, 0, 0.8, 301", "0.6, 0, 0.95, 33001", "2, 1, 1, 64", "1, 0, 0.000001, 64",
            "1, 7, 0.5, 40", "1, 1000, 0.99, 64"})
    void random(double temperature, int topK, double topP, int vocab) {
        Sampler.Random sampler = new Sampler.Random(temperature, topK, topP);
        for (boolean equals : new boolean[] {false, true}) {
            Matrix scores = test.random(new Random(vocab), 1, vocab).scaled(3).rounded(test.ops().computeType());
            Matrix used = equals ? scores.map(Math::rint) : scores;
            int rows = vocab > 10_000 ? 16 : 200;
            Matrix all = Matrix.filled(rows, 1, 1).times(used);
            double[] uniform = new double[3 * rows];
            Arrays.fill(uniform, 0.999);
            int[] at = new int[rows];
            for (int i = 0; i < rows; i++) {
                at[i] = i % 3;
                uniform[3 * i + at[i]] = (i + 0.5) / rows;
            }
            Tensor ids = test.ids(new int[rows]), positions = test.ids(at);
            test.ops().nextTokens(ids, positions, test.activation(all), sampler, doubles(uniform, rows, 3));
            int[] chosen = integers(ids);
            float[] warped = Sampler.warped(used.toFloats(), sampler);
            for (int i = 0; i < rows; i++) {
                double number = (i + 0.5) / rows;
                int least = sampler.next(used.toFloats(), Math.max(0, number - 1e-5)), most = sampler.next(used.toFloats(), Math.min(number + 1e-5, 0.9999999));
                assertTrue(chosen[i] >= least && chosen[i] <= most && warped[chosen[i]] > Float.NEGATIVE_INFINITY,
                        "number " + number + " chose " + chosen[i] + ", it must be from " + least + " to " + most + (equals ? ", many equal" : ""));
                assertEquals(i % 3 + 1, integers(positions)[i]);
            }
        }
    }

    private enum Scores {
        NORMAL, MANY_EQUAL, ALL_EQUAL, MOST_OUT, ALL_OUT;

        double of(double normal) {
            return switch (this) {
                case NORMAL -> normal;
                case MANY_EQUAL -> Math.rint(normal);
                case ALL_EQUAL -> -1.5;
                case MOST_OUT -> normal < 5 ? Double.NEGATIVE_INFINITY : normal;
                case ALL_OUT -> Double.NEGATIVE_INFINITY;
            };
        }
    }

    /** Every sequence of a batch has scores of its own, as many as a model's or with equal ones among them; the same numbers choose the same tokens again. */
    @ParameterizedTest
    @CsvSource({"NORMAL, 128256, 0.8, 50, 0.9, 3", "NORMAL, 151936, 1, 0, 1, 3", "MANY_EQUAL, 151936, 1, 0, 0.9, 3", "MANY_EQUAL, 128256, 1, 1000, 1, 3", "ALL_EQUAL, 128256, 1, 0, 0.3, 3",
            "ALL_EQUAL, 151936, 1, 50, 1, 3", "MOST_OUT, 151936, 1, 200000, 0.95, 3", "NORMAL, 128256, 1, 0, 1e-9, 3", "NORMAL, 5003, 1.2, 300, 0.99, 19", "MANY_EQUAL, 4096, 1, 0, 0.7, 19",
            "MOST_OUT, 2049, 1, 1000, 1, 19", "ALL_OUT, 2500, 1, 0, 0.9, 3", "ALL_OUT, 7, 1, 3, 1, 9", "ALL_EQUAL, 33, 0.5, 100, 0.4, 17"})
    void randomInBatches(Scores kind, int vocab, double temperature, int topK, double topP, int rows) {
        Sampler.Random sampler = new Sampler.Random(temperature, topK, topP);
        Random random = new Random(vocab + rows);
        Matrix scores = test.random(random, rows, vocab).scaled(3).map(kind::of).rounded(test.ops().computeType());
        double[] numbers = random.doubles(rows).toArray();
        numbers[0] = 0;
        numbers[1] = 0.9999999;
        Tensor logits = test.activation(scores), uniform = doubles(numbers, rows, 1);
        int[] chosen = null;
        for (int time = 0; time < 2; time++) {
            Tensor ids = test.ids(new int[rows]), positions = test.ids(new int[rows]);
            test.ops().nextTokens(ids, positions, logits, sampler, uniform);
            assertArrayEquals(IntStream.generate(() -> 1).limit(rows).toArray(), integers(positions));
            if (time > 0) {
                assertArrayEquals(chosen, integers(ids), "the second time");
            }
            chosen = integers(ids);
        }
        for (int i = 0; i < rows; i++) {
            float[] warped = Sampler.warped(row(scores, i), sampler);
            int least = drawn(warped, Math.max(0, numbers[i] - 1e-5)), most = drawn(warped, Math.min(numbers[i] + 1e-5, 0.9999999));
            assertTrue(chosen[i] >= least && chosen[i] <= most && (warped[chosen[i]] > Float.NEGATIVE_INFINITY || kind == Scores.ALL_OUT),
                    "number " + numbers[i] + " chose " + chosen[i] + " in sequence " + i + ", it must be from " + least + " to " + most);
        }
    }

    /** The first token whose probability and those before it exceed {@code number}; the first of all if none has any. */
    private static int drawn(float[] warped, double number) {
        double highest = Double.NEGATIVE_INFINITY, total = 0, reached = 0;
        for (float score : warped) {
            highest = Math.max(highest, score);
        }
        for (float score : warped) {
            total += Math.exp(score - highest);
        }
        int last = 0;
        for (int i = 0; i < warped.length && reached <= number * total; i++) {
            double weight = Math.exp(warped[i] - highest);
            reached += weight;
            last = weight > 0 ? i : last;
        }
        return last;
    }

    /** Frequencies of many draws against the probabilities that the host's warped scores have: chi-square, at a level of one in ten thousand. */
    @ParameterizedTest
    @CsvSource({"1, 0, 1", "0.8, 6, 1", "1.5, 0, 0.9", "1, 8, 0.85"})
    void frequencies(double temperature, int topK, double topP) {
        int vocab = 12, rows = 4000;
        Sampler.Random sampler = new Sampler.Random(temperature, topK, topP);
        Random random = new Random(3);
        Matrix scores = test.random(random, 1, vocab);
        Tensor ids = test.ids(new int[rows]);
        test.ops().nextTokens(ids, test.ids(new int[rows]), test.activation(Matrix.filled(rows, 1, 1).times(scores)), sampler, doubles(random.doubles(rows).toArray(), rows, 1));
        int[] counts = new int[vocab];
        for (int id : integers(ids)) {
            counts[id]++;
        }
        float[] warped = Sampler.warped(scores.toFloats(), sampler);
        double sum = 0, chiSquare = 0;
        int stay = 0;
        for (float score : warped) {
            sum += Math.exp(score);
        }
        for (int i = 0; i < vocab; i++) {
            if (warped[i] == Float.NEGATIVE_INFINITY) {
                assertEquals(0, counts[i], "token " + i + " is out");
            } else {
                double expected = rows * Math.exp(warped[i]) / sum;
                chiSquare += (counts[i] - expected) * (counts[i] - expected) / expected;
                stay++;
            }
        }
        // Wilson and Hilferty's approximation of the chi-square distribution; 3.72 standard deviations are exceeded once in ten thousand times
        double freedom = stay - 1, limit = freedom * Math.pow(1 - 2 / (9 * freedom) + 3.72 * Math.sqrt(2 / (9 * freedom)), 3);
        assertTrue(chiSquare <= limit, "chi-square is " + chiSquare + " of " + freedom + " degrees of freedom, at most " + limit + ": " + Arrays.toString(counts));
    }

    // ---- repetition

    /** A model of one layer: the tokens of a repetition are those of the same steps done one by one, whatever else happens in between. */
    @Test
    void repetition() {
        Ops ops = test.ops();
        int vocab = 4099, hidden = 64, times = 40;
        Random random = new Random(8);
        Tensor table = test.floats(test.random(random, vocab, hidden)), ids = test.ids(5, 6), positions = test.ids(0, 0);
        RandomGroup head = new RandomGroup(test, random, hidden, List.of(new RandomGroup.Layer(vocab, WeightKind.NF4_DOUBLE, 4, true, 0, true)));
        double[] uniform = random.doubles(2L * times).toArray();
        Tensor numbers = doubles(uniform, 2, times);
        for (Sampler sampler : List.of(new Sampler.Greedy(), new Sampler.Random(1, 0, 0.9))) {
            Runnable step = () -> {
                try (Tensor x = ops.embedding(table, ids); Tensor inner = ops.allocate(ops.computeType(), 2, 4); Tensor logits = Calls.linear(ops, x, head.weights(), inner, 0)) {
                    ops.nextTokens(ids, positions, logits, sampler, numbers);
                }
            };
            int[][] expected = new int[times][];
            try (Repetition plain = Repetition.whenAsked(ops, times, ids, step)) {
                for (int i = 0; i < times; i++) {
                    expected[i] = plain.next();
                }
            }
            restart(ids, positions);
            try (Repetition repetition = ops.repeat(times, ids, step)) {
                for (int i = 0; i < times; i++) {
                    assertArrayEquals(expected[i], repetition.next(), "time " + i);
                    for (int columns : new int[] {hidden, vocab, 4}) {
                        test.poisonNext(2, columns);
                    }
                }
                assertFails(IllegalStateException.class, repetition::next, "the operations were done 40 times, at most 40 were wanted");
            }
            restart(ids, positions);
            try (Repetition broken = ops.repeat(times, ids, step)) {
                assertArrayEquals(expected[0], broken.next(), "one that is not read to its end");
            }
            restart(ids, positions);
        }
    }

    private void restart(Tensor ids, Tensor positions) {
        try (Tensor first = test.ops().upload(new int[] {5, 6}); Tensor start = test.ops().upload(new int[] {0, 0})) {
            test.ops().copyInto(ids, first);
            test.ops().copyInto(positions, start);
        }
    }
}
