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
import org.junit.jupiter.params.provider.MethodSource;

/** The backward of linear layers together with what made their input. */
@ParameterizedClass
@MethodSource("jqlora.ops.TestOps#backends")
class LayerBackwardTest {
    /** A sum of up to 130 products, then the backward of what feeds it; the input of the adapters is rounded once more. */
    private static final double UNITS = 12;

    private final TestOps test;

    LayerBackwardTest(TestOps test) {
        this.test = test;
    }

    @AfterEach
    void finish() throws Exception {
        test.finish();
    }

    record Case(int rows, int in, long dropoutKey, boolean below, boolean normTrained, List<RandomGroup.Layer> layers) {
        static Stream<Arguments> ofNorms() {
            return all().flatMap(c -> Arrays.stream(NormUnderTest.Kind.values()).map(kind -> Arguments.of(kind, c)));
        }

        static Stream<Arguments> ofActivations() {
            return all().flatMap(c -> Arrays.stream(Activation.values()).map(activation -> Arguments.of(activation, c)));
        }

        private static Stream<Case> all() {
            var adapted = new RandomGroup.Layer(65, WeightKind.NF4_DOUBLE, 4, true, 0, null);
            var dropped = new RandomGroup.Layer(64, WeightKind.NF4_DOUBLE, 16, true, 0.2f, false);
            var plain = new RandomGroup.Layer(17, WeightKind.BF16, 0, true, 0, null);
            var trained = new RandomGroup.Layer(33, WeightKind.F32_TRAINED, 0, true, 0, true);
            return Stream.of(new Case(5, 64, 0, true, false, List.of(adapted, plain)), new Case(65, 130, 0, true, true, List.of(adapted)),
                    new Case(33, 64, 77, true, false, List.of(adapted, dropped)), new Case(7, 63, 0, true, true, List.of(trained)),
                    new Case(9, 24, 0, false, false, List.of(adapted)), new Case(9, 24, 0, false, true, List.of(adapted, trained)),
                    new Case(40, 128, 5, true, false, List.of(dropped)), new Case(3, 8, 0, true, false, List.of(plain)));
        }
    }

    private Tensor inner(RandomGroup group, int rows) {
        return group.innerColumns() == 0 ? null : test.poisoned(test.ops().computeType(), rows, group.innerColumns());
    }

    @ParameterizedTest
    @MethodSource("jqlora.ops.LayerBackwardTest$Case#ofNorms")
    void afterANorm(NormUnderTest.Kind kind, Case c) {
        Random random = new Random(c.rows);
        RandomGroup group = new RandomGroup(test, random, c.in, c.layers);
        NormUnderTest under = new NormUnderTest(test, random, c.in, kind, DType.F32, c.normTrained);
        Matrix x = test.random(random, c.rows, c.in), dY = test.random(random, c.rows, group.outFeatures()), dX = test.random(random, c.rows, c.in);
        Tensor xT = test.activation(x), statistics = under.statistics(c.rows), inner = inner(group, c.rows);
        Tensor normedT = test.keep(Calls.norm(test.ops(), xT, under.norm(), statistics));
        Matrix normed = Matrix.of(c.rows, c.in, test.values(normedT));
        test.keep(Calls.linear(test.ops(), normedT, group.weights(), inner, c.dropoutKey));

        Tensor dXT = c.below ? test.activation(dX) : null, dYT = test.activation(dY);
        Calls.normedLinearBackward(test.ops(), dXT, dYT, xT, under.norm(), statistics, group.weights(), inner, c.dropoutKey);
        group.assertGradients(dY, normed, c.dropoutKey, UNITS);
        Matrix dNormed = group.inputGradient(dY, normed, c.dropoutKey);
        if (c.below) {
            test.assertNear("dX", dXT, dX.plus(under.inputGradient(dNormed, x)), UNITS);
        }
        under.assertGradients(dNormed, x, UNITS);
        test.assertNear("dY is read only", dYT, dY, 0);
    }

    @ParameterizedTest
    @MethodSource("jqlora.ops.LayerBackwardTest$Case#ofActivations")
    void afterAnActivation(Activation activation, Case c) {
        Random random = new Random(c.rows);
        RandomGroup group = new RandomGroup(test, random, c.in, c.layers);
        Matrix gateUp = test.random(random, c.rows, 2 * c.in), dY = test.random(random, c.rows, group.outFeatures());
        Tensor gateUpT = test.activation(gateUp), inner = inner(group, c.rows), dGateUp = test.poisoned(test.ops().computeType(), c.rows, 2 * c.in);
        Tensor activatedT = test.keep(Calls.gatedActivation(test.ops(), gateUpT, activation));
        Matrix activated = Matrix.of(c.rows, c.in, test.values(activatedT));
        test.keep(Calls.linear(test.ops(), activatedT, group.weights(), inner, c.dropoutKey));

        Calls.gatedLinearBackward(test.ops(), dGateUp, test.activation(dY), gateUpT, activation, group.weights(), inner, c.dropoutKey);
        group.assertGradients(dY, activated, c.dropoutKey, UNITS);
        test.assertNear("dGateUp", dGateUp, ReferenceOps.gatedGradient(group.inputGradient(dY, activated, c.dropoutKey), gateUp, activation), UNITS);
        test.assertNear("gateUp is read only", gateUpT, gateUp, 0);
    }

    /** @param r ranks of the adapters of gate, up and down; 0 for none */
    record MlpCase(int rows, int hidden, int intermediate, int[] r, long dropoutKey, boolean trained, boolean fullTraining, Activation activation) {
        @Override
        public String toString() {
            return rows + " rows, " + hidden + " to " + intermediate + ", r " + Arrays.toString(r) + ", key " + dropoutKey + (trained ? "" : ", frozen") + (fullTraining ? ", full" : "") + ", " + activation;
        }
    }

    static Stream<MlpCase> mlps() {
        return Stream.of(new MlpCase(33, 24, 64, new int[] {4, 4, 4}, 0, true, false, Activation.SILU), new MlpCase(300, 40, 128, new int[] {16, 16, 16}, 0, true, false, Activation.SILU),
                new MlpCase(2100, 64, 64, new int[] {8, 8, 8}, 0, true, false, Activation.SILU), new MlpCase(70, 64, 192, new int[] {3, 20, 7}, 0, true, false, Activation.GELU_TANH),
                new MlpCase(40, 24, 64, new int[] {64, 64, 64}, 0, true, false, Activation.SILU), new MlpCase(65, 24, 64, new int[] {0, 9, 0}, 0, true, false, Activation.GELU),
                new MlpCase(65, 24, 64, new int[] {40, 0, 33}, 0, true, false, Activation.SILU), new MlpCase(7, 24, 64, new int[] {65, 4, 4}, 0, true, false, Activation.SILU),
                new MlpCase(40, 32, 64, new int[] {8, 8, 8}, 9, true, false, Activation.SILU), new MlpCase(40, 32, 64, new int[] {8, 8, 8}, 0, false, false, Activation.SILU),
                new MlpCase(31, 16, 65, new int[] {4, 4, 4}, 0, true, false, Activation.SILU), new MlpCase(31, 16, 64, new int[] {4, 4, 4}, 0, true, true, Activation.SILU));
    }

    @ParameterizedTest
    @MethodSource("mlps")
    void secondHalfOfALayer(MlpCase c) {
        Random random = new Random(c.rows);
        WeightKind kind = c.fullTraining ? WeightKind.F32_TRAINED : WeightKind.NF4_DOUBLE;
        RandomGroup gateUpGroup = new RandomGroup(test, random, c.hidden, List.of(layer(c, c.intermediate, kind, 0), layer(c, c.intermediate, kind, 1)));
        RandomGroup downGroup = new RandomGroup(test, random, c.intermediate, List.of(layer(c, c.hidden, kind, 2)));
        NormUnderTest under = new NormUnderTest(test, random, c.hidden, NormUnderTest.Kind.values()[0], DType.F32, c.fullTraining);
        Matrix x = test.random(random, c.rows, c.hidden), dY = test.random(random, c.rows, c.hidden);
        Tensor xT = test.activation(x), statistics = under.statistics(c.rows), gateUpInner = inner(gateUpGroup, c.rows), downInner = inner(downGroup, c.rows);
        Tensor normedT = test.keep(Calls.norm(test.ops(), xT, under.norm(), statistics));
        Tensor gateUpT = test.keep(Calls.linear(test.ops(), normedT, gateUpGroup.weights(), gateUpInner, c.dropoutKey));
        Tensor activatedT = test.keep(Calls.gatedActivation(test.ops(), gateUpT, c.activation));
        test.keep(Calls.linear(test.ops(), activatedT, downGroup.weights(), downInner, c.dropoutKey));
        Matrix normed = Matrix.of(c.rows, c.hidden, test.values(normedT)), gateUp = Matrix.of(c.rows, 2 * c.intermediate, test.values(gateUpT));
        Matrix activated = Matrix.of(c.rows, c.intermediate, test.values(activatedT));

        Tensor dX = test.activation(dY);
        Link down = new Link(new Input.Gated(gateUpT, c.activation), new LinearGroup(downGroup.weights()), downInner);
        Link gateAndUp = new Link(new Input.Normed(xT, under.norm(), statistics), new LinearGroup(gateUpGroup.weights()), gateUpInner);
        test.ops().linearBackward(dX, dX, List.of(down, gateAndUp), new Dropout(c.dropoutKey));

        downGroup.assertGradients(dY, activated, c.dropoutKey, UNITS);
        Matrix dGateUp = ReferenceOps.gatedGradient(downGroup.inputGradient(dY, activated, c.dropoutKey), gateUp, c.activation);
        test.assertNear("dGateUp", gateUpT, dGateUp, UNITS);
        gateUpGroup.assertGradients(Matrix.of(c.rows, 2 * c.intermediate, test.values(gateUpT)), normed, c.dropoutKey, UNITS);
        Matrix dNormed = gateUpGroup.inputGradient(Matrix.of(c.rows, 2 * c.intermediate, test.values(gateUpT)), normed, c.dropoutKey);
        test.assertNear("dX", dX, dY.plus(under.inputGradient(dNormed, x)), UNITS);
        under.assertGradients(dNormed, x, UNITS);
    }

    private static RandomGroup.Layer layer(MlpCase c, int out, WeightKind kind, int at) {
        return new RandomGroup.Layer(out, kind, c.r[at], c.trained, c.dropoutKey == 0 ? 0 : 0.2f, null);
    }
}
