package jqlora.ops;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import jqlora.tensor.Tensor;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Adapters with dropout whose input has whole groups of eight columns, as every model has: ranks, rows and columns around the sizes of tiles. */
@ParameterizedClass
@MethodSource("jqlora.ops.TestOps#backends")
class DropoutTest {
    private static final double UNITS = 8;
    private final TestOps test;

    DropoutTest(TestOps test) {
        this.test = test;
    }

    @AfterEach
    void finish() throws Exception {
        test.finish();
    }

    record Case(int rows, int in, float dropout, List<Integer> ranks) { }

    static Stream<Case> cases() {
        return Stream.of(new Case(1, 8, 0.5f, List.of(1)), new Case(15, 16, 0.3f, List.of(16, 3)), new Case(17, 72, 0.1f, List.of(17, 1, 2)), new Case(33, 264, 0.05f, List.of(64, 7)),
                new Case(130, 136, 0.2f, List.of(65, 16, 16)), new Case(300, 520, 0.9f, List.of(8, 8, 8, 8, 8)), new Case(129, 64, 0.999f, List.of(33)), new Case(1200, 72, 0.05f, List.of(16, 40)),
                new Case(64, 1032, 0.25f, List.of(130, 5)));
    }

    /** With the input's gradient and without: the masks of the adapters' gradients are those of the one, or made again. */
    @ParameterizedTest
    @MethodSource("cases")
    void forwardAndBackward(Case c) {
        for (boolean below : new boolean[] {true, false}) {
            Random random = new Random(c.rows * 1000L + c.in);
            RandomGroup group = new RandomGroup(test, random, c.in, layers(c));
            Matrix x = test.random(random, c.rows, c.in), dY = test.random(random, c.rows, group.outFeatures());
            Tensor xT = test.activation(x), inner = test.poisoned(test.ops().computeType(), c.rows, group.innerColumns());
            long key = 0x7654321076543210L;
            test.poisonNext(c.rows, group.outFeatures());
            group.assertForward(test.keep(Calls.linear(test.ops(), xT, group.weights(), inner, key)), x, key, UNITS);
            group.assertInner(inner, x, key, UNITS);
            Tensor dX = below ? test.poisoned(test.ops().computeType(), c.rows, c.in) : null;
            Calls.linearBackward(test.ops(), dX, test.activation(dY), xT, group.weights(), inner, key);
            if (below) {
                group.assertInputGradient(dX, dY, x, key, UNITS);
            }
            group.assertGradients(dY, x, key, UNITS);
        }
    }

    private static List<RandomGroup.Layer> layers(Case c) {
        WeightKind[] kinds = {WeightKind.NF4_DOUBLE, WeightKind.BF16, WeightKind.F32};
        List<RandomGroup.Layer> layers = new ArrayList<>();
        for (int i = 0; i < c.ranks.size(); i++) {
            layers.add(new RandomGroup.Layer(9 + 8 * i, kinds[i % 3], c.ranks.get(i), true, c.dropout, null));
            if (i == 1) {
                layers.add(new RandomGroup.Layer(5, WeightKind.BF16, 4, true, 0, null));              // between the others, without dropout
                layers.add(new RandomGroup.Layer(3, WeightKind.BF16, 0, true, 0, null));
            }
        }
        return layers;
    }
}
