package jqlora.ops;

import static jqlora.Assert.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import jqlora.tensor.Tensor;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

@ParameterizedClass
@MethodSource("jqlora.ops.TestOps#backends")
class LinearTest {
    private static final int[] SIZES = {1, 3, 5, 17, 63, 64, 65, 127, 129};
    private static final int[] RANKS = {0, 1, 4, 16};
    /** Of the sum of the magnitudes: float32 sums of up to 500 terms, two or three one after the other, measured at 7 at most. */
    private static final double UNITS = 8;

    private final TestOps test;

    LinearTest(TestOps test) {
        this.test = test;
    }

    @AfterEach
    void finish() throws Exception {
        test.finish();
    }

    record Case(int rows, int in, long dropoutKey, boolean below, List<RandomGroup.Layer> layers) {
        /** Every size in every place, every weight kind with every rank, groups of one to three layers. */
        static Stream<Case> all() {
            List<Case> cases = new ArrayList<>();
            for (int i = 0; i < 45; i++) {
                cases.add(random(new Random(i), SIZES[i % 9], SIZES[(i * 2 + 3 + i / 9) % 9], i, SIZES));
            }
            return cases.stream();
        }

        /** Larger ones, and many of them. */
        static Stream<Case> sweep() {
            int[] sizes = {1, 4, 5, 31, 64, 127, 128, 200, 384, 385, 513};
            List<Case> cases = new ArrayList<>();
            for (int i = 0; i < 400; i++) {
                Random random = new Random(1000 + i);
                cases.add(random(random, sizes[random.nextInt(sizes.length)], sizes[random.nextInt(sizes.length)], random.nextInt(1000), sizes));
            }
            return cases.stream();
        }

        private static Case random(Random random, int rows, int in, int i, int[] sizes) {
            WeightKind[] kinds = WeightKind.values();
            List<RandomGroup.Layer> layers = new ArrayList<>();
            for (int j = 0; j < 1 + i % 3; j++) {
                Boolean bias = List.of(Boolean.TRUE, Boolean.FALSE).get((i + j) % 2);
                layers.add(new RandomGroup.Layer(sizes[(i + 4 * j + i / 9) % sizes.length], kinds[(i + 3 * j) % kinds.length], RANKS[(i / 2 + j) % 4],
                        (i + j) % 4 != 1, random.nextBoolean() ? 0 : 0.2f, random.nextInt(3) == 0 ? null : bias));
            }
            return new Case(rows, in, i % 4 == 0 ? 0 : 1234567890123L + i, i % 5 != 0, layers);
        }
    }

    @ParameterizedTest
    @MethodSource("jqlora.ops.LinearTest$Case#all")
    void linear(Case c) {
        check(c);
    }

    @Tag("slow")
    @ParameterizedTest
    @MethodSource("jqlora.ops.LinearTest$Case#sweep")
    void linearSweep(Case c) {
        check(c);
    }

    private void check(Case c) {
        Random random = new Random(c.rows * 1000 + c.in);
        RandomGroup group = new RandomGroup(test, random, c.in, c.layers);
        int out = group.outFeatures(), innerColumns = group.innerColumns();
        Matrix x = test.random(random, c.rows, c.in), dY = test.random(random, c.rows, out);
        Tensor xT = test.activation(x), dYT = test.activation(dY);
        Tensor inner = innerColumns == 0 ? null : test.poisoned(test.ops().computeType(), c.rows, innerColumns);

        test.poisonNext(c.rows, out);
        Tensor y = test.keep(Calls.linear(test.ops(), xT, group.weights(), inner, c.dropoutKey));
        group.assertForward(y, x, c.dropoutKey, UNITS);
        if (inner != null) {
            group.assertInner(inner, x, c.dropoutKey, UNITS);
        }
        Tensor dX = c.below ? test.poisoned(test.ops().computeType(), c.rows, c.in) : null;
        Calls.linearBackward(test.ops(), dX, dYT, xT, group.weights(), inner, c.dropoutKey);
        if (dX != null) {
            group.assertInputGradient(dX, dY, x, c.dropoutKey, UNITS);
        }
        group.assertGradients(dY, x, c.dropoutKey, UNITS);
        test.assertNear("x is read only", xT, x, 0);
        test.assertNear("dY is read only", dYT, dY, 0);
    }

    /** A 4-bit weight is the same layer as the dense weight that it decodes to, where it is decoded: for more than a few rows. */
    @ParameterizedTest
    @EnumSource
    void fourBitsGiveTheBitsOfTheDecodedWeight(WeightKind kind) {
        Random random = new Random(5);
        WeightKind.Made made = kind.make(test, random, 65, 129);
        Tensor decoded = test.keep(test.ops().toFloat(made.weight())), x = test.activation(test.random(random, 9, 129));
        test.assertNear("toFloat", decoded, made.value(), 0);
        Weight dense = new Weight.Dense(Parameter.frozen("decoded", decoded));
        float[] expected = test.values(test.keep(Calls.linear(test.ops(), x, List.of(new LinearWeights(dense, null, null)), null, 0)));
        Tensor actual = test.keep(Calls.linear(test.ops(), x, List.of(new LinearWeights(made.weight(), null, null)), null, 0));
        assertSameBits("linear", test.values(actual), expected);
    }

    @ParameterizedTest
    @MethodSource("jqlora.ops.LinearTest$Case#all")
    void linearAdd(Case c) {
        Random random = new Random(c.rows * 1000 + c.in);
        RandomGroup group = new RandomGroup(test, random, c.in, c.layers);
        int out = group.outFeatures(), innerColumns = group.innerColumns();
        Matrix x = test.random(random, c.rows, c.in), added = test.random(random, c.rows, out);
        Tensor inner = innerColumns == 0 ? null : test.poisoned(test.ops().computeType(), c.rows, innerColumns), addedT = test.activation(added);
        test.poisonNext(c.rows, out);
        Tensor y = test.keep(Calls.linearAdd(test.ops(), addedT, test.activation(x), group.weights(), inner, c.dropoutKey));
        group.assertForward(y, x, c.dropoutKey, added, UNITS);
        test.assertNear("added is read only", addedT, added, 0);
    }

    /** A layer's part of a group's result is the layer's own. */
    @ParameterizedTest
    @EnumSource(names = {"F32", "BF16", "NF4_DOUBLE"})
    void aGroupHasTheBitsOfItsLayers(WeightKind kind) {
        assumeTrue(test.sumsAreFixed(), "PyTorch chooses the order of a sum by the shape of the product");
        Random random = new Random(6);
        RandomGroup group = new RandomGroup(test, random, 63, List.of(new RandomGroup.Layer(65, kind, 4, true, 0, true),
                new RandomGroup.Layer(17, kind, 0, true, 0, null), new RandomGroup.Layer(129, kind, 1, true, 0, false)));
        Tensor x = test.activation(test.random(random, 9, 63)), inner = test.poisoned(test.ops().computeType(), 9, 5);
        Matrix together = Matrix.of(9, 211, test.values(test.keep(Calls.linear(test.ops(), x, group.weights(), inner, 0))));
        int column = 0;
        for (LinearWeights layer : group.weights()) {
            int out = (int) layer.weight().outFeatures();
            Tensor own = layer.lora() == null ? null : test.poisoned(test.ops().computeType(), 9, layer.lora().r());
            assertSameBits("alone", test.values(test.keep(Calls.linear(test.ops(), x, List.of(layer), own, 0))), together.columns(column, out).toFloats());
            column += out;
        }
        assertEquals(211, column);
    }
}
