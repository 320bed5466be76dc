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

/** Linear layers of the few rows that decoding has: every way in which a weight is stored, odd sizes and those that take a backend's quick way. */
@ParameterizedClass
@MethodSource("jqlora.ops.TestOps#backends")
class FewRowsTest {
    /** Of the sum of the magnitudes, as in {@link LinearTest}; float32 sums of up to 2100 terms. */
    private static final double UNITS = 10;

    private final TestOps test;

    FewRowsTest(TestOps test) {
        this.test = test;
    }

    @AfterEach
    void finish() throws Exception {
        test.finish();
    }

    record Case(int rows, int in, List<RandomGroup.Layer> layers) {
        static Stream<Case> all() {
            int[] ins = {1, 7, 8, 31, 32, 40, 64, 65, 96, 127, 128, 129, 192, 256, 320, 576, 1000, 1024, 1088, 2048, 2112}, outs = {1, 15, 16, 17, 33, 100, 130}, ranks = {0, 1, 4, 16, 33};
            WeightKind[] kinds = WeightKind.values();
            List<Case> cases = new ArrayList<>();
            for (int i = 0; i < 84; i++) {
                List<RandomGroup.Layer> layers = new ArrayList<>();
                for (int j = 0; j < 1 + i % 6; j++) {
                    // as often of one kind, as in a model, as of different ones
                    WeightKind kind = kinds[(i / 2 + (i % 2) * (j / 2)) % kinds.length];
                    layers.add(new RandomGroup.Layer(outs[(i + 3 * j) % outs.length], kind, ranks[(i + j) % ranks.length], true, 0, (i + j) % 3 == 0 ? null : (Boolean) ((i + j) % 3 == 1)));
                }
                cases.add(new Case(1 + (i * 5 + i / 8) % 8, ins[i % ins.length], layers));
            }
            return cases.stream();
        }
    }

    @ParameterizedTest
    @MethodSource("jqlora.ops.FewRowsTest$Case#all")
    void linear(Case c) {
        Random random = new Random(c.rows * 1000 + c.in);
        RandomGroup group = new RandomGroup(test, random, c.in, c.layers);
        int out = group.outFeatures(), innerColumns = group.innerColumns();
        Matrix x = test.random(random, c.rows, c.in), added = test.random(random, c.rows, out);
        Tensor xT = test.activation(x), addedT = test.activation(added), inner = innerColumns == 0 ? null : test.poisoned(test.ops().computeType(), c.rows, innerColumns);
        test.poisonNext(c.rows, out);
        group.assertForward(test.keep(Calls.linear(test.ops(), xT, group.weights(), inner, 0)), x, 0, UNITS);
        if (inner != null) {
            group.assertInner(inner, x, 0, UNITS);
        }
        test.poisonNext(c.rows, out);
        group.assertForward(test.keep(Calls.linearAdd(test.ops(), addedT, xT, group.weights(), inner, 0)), x, 0, added, UNITS);
        test.assertNear("x is read only", xT, x, 0);
        test.assertNear("added is read only", addedT, added, 0);
    }
}
