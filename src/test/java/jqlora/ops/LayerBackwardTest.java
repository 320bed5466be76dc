package jqlora.ops;

import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The backward of linear layers together with what made their input. */
@ParameterizedClass
@MethodSource("jqlora.ops.TestOps#backends")
class LayerBackwardTest {
    /** A sum of up to 130 products, then the backward of what feeds it; the input of the adapters is rounded once more. */
    private static final double UNITS = 12;
    private static final float EPS = 1e-5f;

    private final TestOps test;

    LayerBackwardTest(TestOps test) {
        this.test = test;
    }

    @AfterEach
    void finish() throws Exception {
        test.finish();
    }

    record Case(int rows, int in, long dropoutKey, boolean below, boolean normTrained, List<LinearGroup.Layer> layers) {
        static Stream<Case> all() {
            var adapted = new LinearGroup.Layer(65, WeightKind.NF4_DOUBLE, 4, true, 0, null);
            var dropped = new LinearGroup.Layer(64, WeightKind.NF4_DOUBLE, 16, true, 0.2f, false);
            var plain = new LinearGroup.Layer(17, WeightKind.BF16, 0, true, 0, null);
            var trained = new LinearGroup.Layer(33, WeightKind.F32_TRAINED, 0, true, 0, true);
            return Stream.of(new Case(5, 64, 0, true, false, List.of(adapted, plain)), new Case(65, 130, 0, true, true, List.of(adapted)),
                    new Case(33, 64, 77, true, false, List.of(adapted, dropped)), new Case(7, 63, 0, true, true, List.of(trained)),
                    new Case(9, 24, 0, false, false, List.of(adapted)), new Case(9, 24, 0, false, true, List.of(adapted, trained)),
                    new Case(40, 128, 5, true, false, List.of(dropped)), new Case(3, 8, 0, true, false, List.of(plain)));
        }
    }

    private Tensor inner(LinearGroup group, int rows) {
        return group.innerColumns() == 0 ? null : test.poisoned(test.ops().computeType(), rows, group.innerColumns());
    }

    @ParameterizedTest
    @MethodSource("jqlora.ops.LayerBackwardTest$Case#all")
    void afterANorm(Case c) {
        Random random = new Random(c.rows);
        LinearGroup group = new LinearGroup(test, random, c.in, c.layers);
        Matrix x = test.random(random, c.rows, c.in), weight = Matrix.random(random, 1, c.in).rounded(DType.F32), dWeight = Matrix.random(random, 1, c.in).rounded(DType.F32);
        Matrix dY = test.random(random, c.rows, group.outFeatures()), dX = test.random(random, c.rows, c.in);
        Parameter norm = c.normTrained ? test.trained("norm.weight", weight, dWeight, c.in) : test.frozen("norm.weight", DType.F32, weight, c.in);
        Tensor xT = test.activation(x), rstd = test.poisoned(DType.F32, c.rows), inner = inner(group, c.rows);
        Tensor normedT = test.keep(test.ops().rmsNorm(xT, norm.value(), EPS, rstd));
        Matrix normed = Matrix.of(c.rows, c.in, test.values(normedT));
        test.keep(test.ops().linear(normedT, group.weights(), inner, c.dropoutKey));

        Tensor dXT = c.below ? test.activation(dX) : null, dYT = test.activation(dY);
        test.ops().normedLinearBackward(dXT, dYT, xT, norm, rstd, group.weights(), inner, c.dropoutKey);
        group.assertGradients(dY, normed, c.dropoutKey, UNITS);
        Matrix dNormed = group.inputGradient(dY, normed, c.dropoutKey);
        if (c.below) {
            test.assertNear("dX", dXT, dX.plus(ReferenceNorm.inputGradient(dNormed, x, weight, EPS)), UNITS);
        }
        if (c.normTrained) {
            test.assertNear("dWeight", norm.gradient(), dWeight.plus(ReferenceNorm.weightGradient(dNormed, x, EPS)), UNITS);
        }
        test.assertNear("dY is read only", dYT, dY, 0);
    }

    @ParameterizedTest
    @MethodSource("jqlora.ops.LayerBackwardTest$Case#all")
    void afterAnActivation(Case c) {
        Random random = new Random(c.rows);
        LinearGroup group = new LinearGroup(test, random, c.in, c.layers);
        Matrix gateUp = test.random(random, c.rows, 2 * c.in), dY = test.random(random, c.rows, group.outFeatures());
        Tensor gateUpT = test.activation(gateUp), inner = inner(group, c.rows), dGateUp = test.poisoned(test.ops().computeType(), c.rows, 2 * c.in);
        Tensor activatedT = test.keep(test.ops().gatedActivation(gateUpT, Activation.SILU));
        Matrix activated = Matrix.of(c.rows, c.in, test.values(activatedT));
        test.keep(test.ops().linear(activatedT, group.weights(), inner, c.dropoutKey));

        test.ops().gatedLinearBackward(dGateUp, test.activation(dY), gateUpT, Activation.SILU, group.weights(), inner, c.dropoutKey);
        group.assertGradients(dY, activated, c.dropoutKey, UNITS);
        test.assertNear("dGateUp", dGateUp, ReferenceOps.siluGradient(group.inputGradient(dY, activated, c.dropoutKey), gateUp), UNITS);
        test.assertNear("gateUp is read only", gateUpT, gateUp, 0);
    }
}
