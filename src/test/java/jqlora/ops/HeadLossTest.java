package jqlora.ops;

import static jqlora.Assert.assertClose;

import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
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
class HeadLossTest {
    private static final double SCALE = 0.125, LOSS_BEFORE = 17.25;
    /** Logits of up to 143 summands, whose error the exponential turns into a relative one; then a sum over the vocabulary. */
    private static final double UNITS = 30;

    private final TestOps test;

    HeadLossTest(TestOps test) {
        this.test = test;
    }

    @AfterEach
    void finish() throws Exception {
        test.finish();
    }

    record Case(int rows, int hidden, int vocab, WeightKind kind, int r, Boolean bias, double labelled) {
        static Stream<Case> all() {
            return Stream.of(new Case(1, 1, 1, WeightKind.F32, 0, null, 1), new Case(3, 5, 17, WeightKind.F32_TRAINED, 0, null, 1),
                    new Case(65, 63, 129, WeightKind.BF16, 0, null, 0.5), new Case(17, 64, 300, WeightKind.NF4_DOUBLE, 4, false, 0.8),
                    new Case(129, 17, 65, WeightKind.F32_TRAINED, 1, true, 0.3), new Case(5, 127, 1000, WeightKind.F16, 16, null, 1),
                    new Case(200, 3, 64, WeightKind.F32_TRAINED, 0, true, 0.9), new Case(9, 8, 5, WeightKind.F32_TRAINED, 1, null, 0));
        }
    }

    @ParameterizedTest
    @MethodSource("jqlora.ops.HeadLossTest$Case#all")
    void headLoss(Case c) {
        Random random = new Random(c.rows);
        RandomGroup group = new RandomGroup(test, random, c.hidden, List.of(new RandomGroup.Layer(c.vocab, c.kind, c.r, true, 0, c.bias)));
        Matrix x = test.random(random, c.rows, c.hidden).scaled(0.5);
        int[] targets = IntStream.range(0, c.rows).map(row -> random.nextDouble() < c.labelled ? random.nextInt(c.vocab) : -100).toArray();
        Tensor xT = test.activation(x), lossSum = lossSum(), dX = test.poisoned(test.ops().computeType(), c.rows, c.hidden);
        LinearWeights head = group.weights().getFirst();

        Calls.headLoss(test.ops(), xT, head, targets, SCALE, lossSum, dX);
        Matrix logits = group.forward(x), dLogits = ReferenceOps.crossEntropyGradient(logits, targets).scaled(SCALE);
        double expected = ReferenceOps.crossEntropy(logits, targets);
        assertClose("loss", test.number(lossSum), LOSS_BEFORE + expected, test.lossTolerance(UNITS), 0);
        test.assertNear("dX", dX, group.inputGradient(dLogits, x), UNITS);
        group.assertGradients(dLogits, x, 0, UNITS);

        Calls.headLoss(test.ops(), xT, head, targets, SCALE, lossSum, null);
        assertClose("the loss alone, added", test.number(lossSum), LOSS_BEFORE + 2 * expected, test.lossTolerance(UNITS), 0);
        group.assertGradients(dLogits, x, 0, UNITS);
    }

    private Tensor lossSum() {
        return test.upload(DType.F64, Matrix.row(LOSS_BEFORE), 1);
    }

    /** More rows than a chunk of logits holds: 64 rows of 300,000 logits are more than 64 MiB. */
    @Test
    void chunksAddUp() {
        int rows = 70, hidden = 2, vocab = 300_000;
        Random random = new Random(3);
        RandomGroup group = new RandomGroup(test, random, hidden, List.of(new RandomGroup.Layer(vocab, WeightKind.F32, 0, false, 0, null)));
        Matrix x = test.random(random, rows, hidden).scaled(0.25);
        int[] targets = random.ints(rows, 0, vocab).toArray();
        targets[3] = -100;
        targets[69] = vocab - 1;
        Tensor lossSum = lossSum(), dX = test.poisoned(test.ops().computeType(), rows, hidden);
        Calls.headLoss(test.ops(), test.activation(x), group.weights().getFirst(), targets, 1, lossSum, dX);
        Matrix weight = group.forward(Matrix.row(1, 0)).transposed(), other = group.forward(Matrix.row(0, 1)).transposed();
        double loss = 0;
        Matrix expected = Matrix.zeros(rows, hidden);
        for (int row = 0; row < rows; row++) {
            if (targets[row] != -100) {
                double a = x.get(row, 0), b = x.get(row, 1), sum = 0, da = 0, db = 0;
                for (int i = 0; i < vocab; i++) {
                    double e = Math.exp(a * weight.get(i, 0) + b * other.get(i, 0));
                    sum += e;
                    da += e * weight.get(i, 0);
                    db += e * other.get(i, 0);
                }
                int target = targets[row];
                loss += Math.log(sum) - a * weight.get(target, 0) - b * other.get(target, 0);
                expected.set(row, 0, da / sum - weight.get(target, 0));
                expected.set(row, 1, db / sum - other.get(target, 0));
            }
        }
        assertClose("loss", test.number(lossSum), LOSS_BEFORE + loss, test.lossTolerance(UNITS), 0);
        // PyTorch adds 300,000 products in a row, most of them smaller than the last bit of the sum
        test.assertNear("dX", dX, expected, test.sumsAreFixed() ? UNITS : 50 * UNITS);
    }

    /** Scores with a factor, and with a cap: the loss and the gradient of what lies before it. */
    @ParameterizedTest
    @CsvSource({"0.25, 0", "1, 1.5", "0.5, 0.75"})
    void boundedScores(float factor, float cap) {
        int rows = 30, hidden = 20, vocab = 70;
        Random random = new Random(9);
        RandomGroup group = new RandomGroup(test, random, hidden, List.of(new RandomGroup.Layer(vocab, WeightKind.F32_TRAINED, 4, true, 0, true)));
        OutputHead head = new OutputHead(group.weights().getFirst(), factor, cap);
        Matrix x = test.random(random, rows, hidden).scaled(0.5);
        int[] targets = IntStream.range(0, rows).map(row -> row % 5 == 0 ? -100 : random.nextInt(vocab)).toArray();
        Tensor xT = test.activation(x), lossSum = lossSum(), dX = test.poisoned(test.ops().computeType(), rows, hidden);

        Matrix products = group.forward(x), scores = products.map(p -> cap == 0 ? p * factor : cap * Math.tanh(p * factor / cap));
        test.assertNear("scores", test.keep(test.ops().scores(xT, head)), scores, UNITS);
        test.ops().headLoss(xT, head, targets, SCALE, lossSum, dX);
        assertClose("loss", test.number(lossSum), LOSS_BEFORE + ReferenceOps.crossEntropy(scores, targets), test.lossTolerance(UNITS), 0);
        Matrix slopes = products.map(p -> cap == 0 ? factor : factor * (1 - Math.pow(Math.tanh(p * factor / cap), 2)));
        Matrix dProducts = ReferenceOps.crossEntropyGradient(scores, targets).scaled(SCALE).masked(slopes);
        test.assertNear("dX", dX, group.inputGradient(dProducts, x), UNITS);
        group.assertGradients(dProducts, x, 0, 2 * UNITS);
    }

    /** Logits in the hundreds: a loss near zero, and one in the hundreds. */
    @Test
    void extremeLogits() {
        Matrix weight = Matrix.zeros(3, 1);
        weight.set(0, 0, 500);
        weight.set(1, 0, -500);
        LinearWeights head = new LinearWeights(new Weight.Dense(test.frozen("head", DType.F32, weight, 3, 1)), null, null);
        Tensor x = test.activation(Matrix.filled(2, 1, 1)), dX = test.poisoned(test.ops().computeType(), 2, 1), lossSum = lossSum();
        Calls.headLoss(test.ops(), x, head, new int[] {0, 1}, 1, lossSum, dX);
        assertClose("loss", test.number(lossSum), LOSS_BEFORE + 1000, 0x1p-24, 0);
        Matrix expected = Matrix.zeros(2, 1);
        expected.set(1, 0, 1000);
        test.assertNear("dX", dX, expected, 2);
    }
}
