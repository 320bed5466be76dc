package jqlora.ops;

import static jqlora.Assert.assertClose;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Arrays;
import java.util.Random;
import java.util.function.Function;
import java.util.function.ToDoubleFunction;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** The gradients of the reference operations against central differences of its forward operations. */
class ReferenceGradientTest {
    private static final double EPS = 1e-6;
    private final Random random = new Random(42);

    private Matrix random(int rows, int columns) {
        return Matrix.random(random, rows, columns);
    }

    /** {@code (f(x + h) - f(x - h)) / 2h} for each element; its error is of the order of h^2 and of 1e-16 / h. */
    private static Matrix differences(Matrix x, ToDoubleFunction<Matrix> f) {
        double h = 1e-5;
        Matrix gradient = Matrix.zeros(x.rows(), x.columns());
        for (int row = 0; row < x.rows(); row++) {
            for (int column = 0; column < x.columns(); column++) {
                Matrix above = x.scaled(1), below = x.scaled(1);
                above.add(row, column, h);
                below.add(row, column, -h);
                gradient.set(row, column, (f.applyAsDouble(above) - f.applyAsDouble(below)) / (2 * h));
            }
        }
        return gradient;
    }

    private static void assertGradient(String what, Matrix actual, Matrix at, ToDoubleFunction<Matrix> f) {
        assertClose(what, actual.toArray(), differences(at, f).toArray(), 1e-7, 1e-8);
    }

    /** Of {@code sum of dY f(x)}. */
    private static void assertGradient(String what, Matrix actual, Matrix at, Matrix dY, Function<Matrix, Matrix> f) {
        assertGradient(what, actual, at, x -> dY.dot(f.apply(x)));
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "3, 5", "2, 8"})
    void rmsNorm(int rows, int hidden) {
        Matrix x = random(rows, hidden), weight = random(1, hidden), dY = random(rows, hidden);
        assertGradient("dX", ReferenceNorm.inputGradient(dY, x, weight, EPS), x, dY, at -> ReferenceNorm.forward(at, weight, EPS));
        assertGradient("dWeight", ReferenceNorm.weightGradient(dY, x, EPS), weight, dY, at -> ReferenceNorm.forward(x, at, EPS));
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "3, 5", "2, 8"})
    void layerNorm(int rows, int hidden) {
        Matrix x = random(rows, hidden), weight = random(1, hidden), bias = random(1, hidden), dY = random(rows, hidden);
        assertGradient("dX", ReferenceLayerNorm.inputGradient(dY, x, weight, EPS), x, dY, at -> ReferenceLayerNorm.forward(at, weight, bias, EPS));
        assertGradient("dWeight", ReferenceLayerNorm.weightGradient(dY, x, EPS), weight, dY, at -> ReferenceLayerNorm.forward(x, at, bias, EPS));
        assertGradient("dBias", dY.columnSums(), bias, dY, at -> ReferenceLayerNorm.forward(x, weight, at, EPS));
    }

    @Test
    void headNorm() {
        AttentionShape shape = new AttentionShape(4, 2, 3, 0, 1);
        Matrix qkv = random(2, shape.qkvColumns()), q = random(1, 3), k = random(1, 3), dY = random(2, shape.qkvColumns());
        assertGradient("dQkv", ReferenceNorm.headInputGradient(dY, qkv, shape, q, k, EPS), qkv, dY,
                at -> ReferenceNorm.headForward(at, shape, q, k, EPS));
        assertGradient("dQ weight", ReferenceNorm.headWeightGradient(true, dY, qkv, shape, EPS), q, dY,
                at -> ReferenceNorm.headForward(qkv, shape, at, k, EPS));
        assertGradient("dK weight", ReferenceNorm.headWeightGradient(false, dY, qkv, shape, EPS), k, dY,
                at -> ReferenceNorm.headForward(qkv, shape, q, at, EPS));
        assertEquals(qkv.get(1, 20), ReferenceNorm.headForward(qkv, shape, q, k, EPS).get(1, 20), "values are copied");
    }

    @ParameterizedTest
    @CsvSource({"0", "0.5"})
    void linearWithLora(float dropout) {
        Matrix weight = random(5, 7), bias = random(1, 5), a = random(2, 7), b = random(5, 2), x = random(3, 7), dY = random(3, 5);
        Matrix mask = dropout == 0 ? null : ReferenceLinear.mask(3, 7, 99, 1, dropout);
        ReferenceLinear linear = new ReferenceLinear(weight, bias, a, b, 1.5);
        assertGradient("dX", linear.inputGradient(dY, mask), x, dY, at -> linear.forward(at, mask));
        assertGradient("dWeight", linear.weightGradient(dY, x), weight, dY, at -> new ReferenceLinear(at, bias, a, b, 1.5).forward(x, mask));
        assertGradient("dBias", linear.biasGradient(dY), bias, dY, at -> new ReferenceLinear(weight, at, a, b, 1.5).forward(x, mask));
        assertGradient("dA", linear.aGradient(dY, x, mask), a, dY, at -> new ReferenceLinear(weight, bias, at, b, 1.5).forward(x, mask));
        assertGradient("dB", linear.bGradient(dY, x, mask), b, dY, at -> new ReferenceLinear(weight, bias, a, at, 1.5).forward(x, mask));
    }

    @Test
    void plainLinear() {
        Matrix weight = random(4, 3), x = random(2, 3), dY = random(2, 4);
        ReferenceLinear linear = new ReferenceLinear(weight, null, null, null, 0);
        assertGradient("dX", linear.inputGradient(dY, null), x, dY, at -> linear.forward(at, null));
    }

    static Stream<AttentionShape> attentionShapes() {
        return Stream.of(new AttentionShape(1, 1, 2, 0, 0.7f), new AttentionShape(4, 2, 3, 0, 0.5f), new AttentionShape(3, 1, 2, 2, 0.6f),
                new AttentionShape(2, 2, 2, 1, 1), new AttentionShape(2, 1, 2, 9, 1),
                new AttentionShape(4, 2, 3, 0, 0.5f, 0.8f, 0), new AttentionShape(4, 2, 3, 2, 0.5f, 0.8f, 8));
    }

    @ParameterizedTest
    @MethodSource("attentionShapes")
    void attention(AttentionShape shape) {
        Sequences sequences = Sequences.ofLengths(3, 1, 4);
        Matrix qkv = random(8, shape.qkvColumns()), dY = random(8, shape.queryColumns());
        assertGradient("dQkv", ReferenceAttention.backward(dY, qkv, shape, sequences), qkv, dY,
                at -> ReferenceAttention.forward(at, shape, sequences).y());
    }

    @Test
    void rope() {
        AttentionShape shape = new AttentionShape(2, 1, 4, 0, 1);
        Matrix angles = random(6, 2), cos = angles.map(Math::cos), sin = angles.map(Math::sin);
        Matrix qkv = random(3, shape.qkvColumns()), dY = random(3, shape.qkvColumns());
        int[] positions = {5, 0, 3};
        assertGradient("dQkv", ReferenceAttention.rotate(dY, shape, cos, sin, positions, -1), qkv, dY,
                at -> ReferenceAttention.rotate(at, shape, cos, sin, positions, 1));
    }

    @Test
    void embedding() {
        Matrix table = random(5, 3), dY = random(4, 3);
        int[] ids = {4, 0, 4, 2};
        assertGradient("dTable", ReferenceOps.embeddingGradient(dY, ids, 5), table, dY, at -> ReferenceOps.embedding(at, ids));
    }

    @ParameterizedTest
    @EnumSource
    void gated(Activation activation) {
        Matrix gateUp = random(3, 10), dY = random(3, 5);
        assertGradient("dGateUp", ReferenceOps.gatedGradient(dY, gateUp, activation), gateUp, dY, at -> ReferenceOps.gated(at, activation));
    }

    /** mpmath 1.4.1 with 30 digits: {@code ncdf(x)}, and {@code x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))}. */
    @Test
    void normalDistributionAndTanhAreThoseOfMpmath() {
        double[] x = {-30, -8, -5.5, -4.5, -1, -0.25, 0, 0.5, 2, 5.5};
        double[] cdf = {4.9067139271481871e-198, 6.2209605742717841e-16, 1.8989562465887719e-8, 3.3976731247300604e-6, 0.15865525393145705, 0.40129367431707628, 0.5,
            0.6914624612740131, 0.97724986805182079, 0.99999998101043753};
        double[] tanh = {0, -3.1077829374203843e-21, -5.927640263880262e-9, -5.1367374119586498e-6, -0.1588080093917233, -0.100324649298315, 0, 0.34571400982514392,
            1.954597694087775, 5.4999999940723597};
        assertClose("normal distribution", Arrays.stream(x).map(ReferenceOps::normalCdf).toArray(), cdf, 1e-10, 0);
        Matrix gateUp = Matrix.filled(1, 2 * x.length, 1);
        gateUp.put(0, 0, Matrix.row(x));
        assertClose("GELU by tanh", ReferenceOps.gated(gateUp, Activation.GELU_TANH).toArray(), tanh, 1e-14, 1e-15);
    }

    @Test
    void crossEntropy() {
        Matrix logits = random(4, 6);
        int[] targets = {5, -100, 0, 3};
        assertGradient("dLogits", ReferenceOps.crossEntropyGradient(logits, targets), logits, at -> ReferenceOps.crossEntropy(at, targets));
    }

    /** Two steps of torch.optim.AdamW(lr=0.1, betas=(0.9, 0.99), eps=1e-2, weight_decay=0.5), float64, after clip_grad_norm_ to 1. */
    @Test
    void adamWIsThatOfPyTorch() {
        var state = new ReferenceOps.AdamWResult(Matrix.row(1, -2, 0.5), Matrix.zeros(1, 3), Matrix.zeros(1, 3));
        state = ReferenceOps.adamW(state, Matrix.row(3, -4, 0), new AdamWStep(1, 0.1, 0.9, 0.99, 1e-2, 0.5, 1), 5);
        state = ReferenceOps.adamW(state, Matrix.row(0.1, 0.2, -0.3), new AdamWStep(2, 0.1, 0.9, 0.99, 1e-2, 0.5, 1), Math.sqrt(0.14));
        double[] torch = {0.7323441774386455, -1.6649268614411754, 0.5221615440731776};
        assertClose("value", state.value().toArray(), torch, 1e-14, 0);
    }
}
