package jqlora.ops;

import java.util.Random;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;

/** A normalisation with random weights, and what the reference makes of it. */
final class NormUnderTest {
    enum Kind { RMS, RMS_FROM_ONE, LAYER, LAYER_WITHOUT_BIAS, LAYER_FROM_ONE }

    private static final double EPS = 1e-5f;

    private final TestOps test;
    private final Norm norm;
    /** What the normalised row is multiplied by, and what is added to it, [1, hidden]. */
    private final Matrix factors, bias;
    /** What lies in the gradients already, [1, hidden]. */
    private final Matrix dWeight, dBias;

    NormUnderTest(TestOps test, Random random, int hidden, Kind kind, DType weightType, boolean trained) {
        this.test = test;
        Matrix weight = Matrix.random(random, 1, hidden).rounded(weightType);
        dWeight = Matrix.random(random, 1, hidden).rounded(DType.F32);
        dBias = Matrix.random(random, 1, hidden).rounded(DType.F32);
        bias = kind == Kind.LAYER || kind == Kind.LAYER_FROM_ONE ? Matrix.random(random, 1, hidden).rounded(weightType) : Matrix.zeros(1, hidden);
        factors = kind == Kind.RMS_FROM_ONE || kind == Kind.LAYER_FROM_ONE ? weight.map(value -> value + 1) : weight;
        Parameter first = trained ? test.trained("norm.weight", weight, dWeight, hidden) : test.frozen("norm.weight", weightType, weight, hidden);
        norm = switch (kind) {
            case RMS -> new Norm.Rms(first, 0, (float) EPS);
            case RMS_FROM_ONE -> new Norm.Rms(first, 1, (float) EPS);
            case LAYER, LAYER_FROM_ONE -> new Norm.Layer(first, trained ? test.trained("norm.bias", bias, dBias, hidden) : test.frozen("norm.bias", weightType, bias, hidden),
                    kind == Kind.LAYER ? 0 : 1, (float) EPS);
            case LAYER_WITHOUT_BIAS -> new Norm.Layer(first, null, (float) EPS);
        };
    }

    Norm norm() {
        return norm;
    }

    Tensor statistics(int rows) {
        return test.poisoned(DType.F32, norm.statistics(rows).toArray());
    }

    void assertForward(Tensor y, Tensor statistics, Matrix x, double units) {
        switch (norm) {
            case Norm.Rms rms -> {
                test.assertNear("y", y, ReferenceNorm.forward(x, factors, EPS), units);
                test.assertNear("rstd", statistics, ReferenceNorm.rstd(x, EPS), units);
            }
            case Norm.Layer layer -> {
                test.assertNear("y", y, ReferenceLayerNorm.forward(x, factors, bias, EPS), ReferenceLayerNorm.forwardTerms(x, factors, bias, EPS), units);
                test.assertNear("statistics", statistics, ReferenceLayerNorm.statistics(x, EPS), ReferenceLayerNorm.statisticsTerms(x, EPS), units);
            }
        }
    }

    /** Without what was in the gradient before. */
    Matrix inputGradient(Matrix dY, Matrix x) {
        return switch (norm) {
            case Norm.Rms rms -> ReferenceNorm.inputGradient(dY, x, factors, EPS);
            case Norm.Layer layer -> ReferenceLayerNorm.inputGradient(dY, x, factors, EPS);
        };
    }

    /** @param before what was in {@code dX} */
    void assertInputGradient(Tensor dX, Matrix before, Matrix dY, Matrix x, double units) {
        Matrix terms = switch (norm) {
            case Norm.Rms rms -> ReferenceNorm.inputGradientTerms(dY, x, factors, EPS);
            case Norm.Layer layer -> ReferenceLayerNorm.inputGradientTerms(dY, x, factors, EPS);
        };
        test.assertNear("dX", dX, before.plus(inputGradient(dY, x)), before.absolute().plus(terms), units);
    }

    /** Of the weights, where they are trained. */
    void assertGradients(Matrix dY, Matrix x, double units) {
        if (norm.isTrained()) {
            boolean rms = norm instanceof Norm.Rms;
            Matrix expected = rms ? ReferenceNorm.weightGradient(dY, x, EPS) : ReferenceLayerNorm.weightGradient(dY, x, EPS);
            Matrix terms = rms ? ReferenceNorm.weightGradient(dY.absolute(), x.absolute(), EPS) : ReferenceLayerNorm.weightGradientTerms(dY, x, EPS);
            test.assertNear("dWeight", norm.weight().gradient(), dWeight.plus(expected), dWeight.absolute().plus(terms), units);
        }
        if (norm instanceof Norm.Layer layer && layer.bias() != null && layer.bias().isTrained()) {
            test.assertNear("dBias", layer.bias().gradient(), dBias.plus(dY.columnSums()), dBias.absolute().plus(dY.absolute().columnSums()), units);
        }
    }
}
