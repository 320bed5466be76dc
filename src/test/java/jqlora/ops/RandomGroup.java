package jqlora.ops;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.function.UnaryOperator;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;

/** Linear layers with one input: on a backend, and as reference. */
final class RandomGroup {
    /**
     * One layer to make.
     *
     * @param r rank of its adapter; 0 for none
     * @param lora whether the adapter's factors are trained
     * @param bias null for none, else whether it is trained
     */
    record Layer(int out, WeightKind kind, int r, boolean lora, float dropout, Boolean bias) { }

    private record Member(LinearWeights weights, ReferenceLinear reference, WeightKind.Made made, Matrix dBias, Matrix dA, Matrix dB) { }

    private final TestOps test;
    private final List<Member> members = new ArrayList<>();

    RandomGroup(TestOps test, Random random, int in, List<Layer> layers) {
        this.test = test;
        for (Layer layer : layers) {
            members.add(make(random, in, layer, members.size() + 3));
        }
    }

    private Member make(Random random, int in, Layer layer, int module) {
        WeightKind.Made made = layer.kind.make(test, random, layer.out, in);
        Matrix biasValue = null, dBias = null, a = null, b = null, dA = null, dB = null;
        Parameter bias = null;
        LoraFactors lora = null;
        float scaling = 0;
        if (layer.bias != null) {
            DType dtype = layer.bias ? DType.F32 : DType.BF16;
            biasValue = Matrix.random(random, 1, layer.out).rounded(dtype);
            dBias = Matrix.random(random, 1, layer.out).rounded(DType.F32);
            bias = layer.bias ? test.trained("bias", biasValue, dBias, layer.out) : test.frozen("bias", dtype, biasValue, layer.out);
        }
        if (layer.r > 0) {
            scaling = 0.75f;
            a = Matrix.random(random, layer.r, in).rounded(DType.F32);
            b = Matrix.random(random, layer.out, layer.r).rounded(DType.F32);
            dA = Matrix.random(random, layer.r, in).rounded(DType.F32);
            dB = Matrix.random(random, layer.out, layer.r).rounded(DType.F32);
            lora = new LoraFactors(factor("lora_A", layer.lora, a, dA), factor("lora_B", layer.lora, b, dB), scaling, layer.dropout, module);
        }
        return new Member(new LinearWeights(made.weight(), bias, lora), new ReferenceLinear(made.value(), biasValue, a, b, scaling), made, dBias, dA, dB);
    }

    private Parameter factor(String name, boolean trained, Matrix value, Matrix gradient) {
        return trained ? test.trained(name, value, gradient, value.rows(), value.columns())
                : test.frozen(name, DType.F32, value, value.rows(), value.columns());
    }

    List<LinearWeights> weights() {
        return members.stream().map(Member::weights).toList();
    }

    /** All trained numbers. */
    List<Parameter> trained() {
        List<Parameter> trained = new ArrayList<>();
        for (Member member : members) {
            LinearWeights layer = member.weights;
            if (layer.weight() instanceof Weight.Dense(Parameter weight)) {
                trained.add(weight);
            }
            if (layer.bias() != null) {
                trained.add(layer.bias());
            }
            if (layer.lora() != null) {
                trained.add(layer.lora().a());
                trained.add(layer.lora().b());
            }
        }
        trained.removeIf(parameter -> !parameter.isTrained());
        return trained;
    }

    int outFeatures() {
        return members.stream().mapToInt(member -> member.made.value().rows()).sum();
    }

    /** Columns of all adapters' inner values. */
    int innerColumns() {
        return members.stream().mapToInt(member -> member.reference.a() == null ? 0 : member.reference.a().rows()).sum();
    }

    // ---- reference, and for each element the sum of the magnitudes of its summands

    private static Matrix mask(Member member, Matrix x, long key) {
        LoraFactors lora = member.weights.lora();
        return key == 0 || lora == null ? null : ReferenceLinear.mask(x.rows(), x.columns(), key, lora.module(), lora.dropout());
    }

    private Matrix forward(Matrix x, long key, UnaryOperator<ReferenceLinear> of) {
        Matrix y = Matrix.zeros(x.rows(), outFeatures());
        int column = 0;
        for (Member member : members) {
            y.put(0, column, of.apply(member.reference).forward(x, mask(member, x, key)));
            column += member.made.value().rows();
        }
        return y;
    }

    /** Without dropout. */
    Matrix forward(Matrix x) {
        return forward(x, 0, layer -> layer);
    }

    void assertForward(Tensor y, Matrix x, long key, double units) {
        test.assertNear("y", y, forward(x, key, layer -> layer), forward(x.absolute(), key, ReferenceLinear::absolute), units);
    }

    /** The result with {@code added} on top. */
    void assertForward(Tensor y, Matrix x, long key, Matrix added, double units) {
        test.assertNear("y", y, forward(x, key, layer -> layer).plus(added), forward(x.absolute(), key, ReferenceLinear::absolute).plus(added.absolute()), units);
    }

    private Matrix inner(Matrix x, long key, UnaryOperator<ReferenceLinear> of) {
        Matrix inner = Matrix.zeros(x.rows(), innerColumns());
        int column = 0;
        for (Member member : members) {
            if (member.reference.a() != null) {
                inner.put(0, column, of.apply(member.reference).inner(x, mask(member, x, key)));
                column += member.reference.a().rows();
            }
        }
        return inner;
    }

    void assertInner(Tensor inner, Matrix x, long key, double units) {
        test.assertNear("inner", inner, inner(x, key, layer -> layer), inner(x.absolute(), key, ReferenceLinear::absolute), units);
    }

    private Matrix inputGradient(Matrix dY, Matrix x, long key, UnaryOperator<ReferenceLinear> of) {
        Matrix dX = Matrix.zeros(x.rows(), x.columns());
        int column = 0;
        for (Member member : members) {
            int out = member.made.value().rows();
            dX = dX.plus(of.apply(member.reference).inputGradient(dY.columns(column, out), mask(member, x, key)));
            column += out;
        }
        return dX;
    }

    /** Without dropout. */
    Matrix inputGradient(Matrix dY, Matrix x) {
        return inputGradient(dY, x, 0);
    }

    Matrix inputGradient(Matrix dY, Matrix x, long key) {
        return inputGradient(dY, x, key, layer -> layer);
    }

    void assertInputGradient(Tensor dX, Matrix dY, Matrix x, long key, double units) {
        test.assertNear("dX", dX, inputGradient(dY, x, key, layer -> layer), inputGradient(dY.absolute(), x, key, ReferenceLinear::absolute), units);
    }

    /** Every trained number's gradient: what lay there, and the layer's own on top. */
    void assertGradients(Matrix dY, Matrix x, long key, double units) {
        int column = 0;
        for (Member member : members) {
            int out = member.made.value().rows();
            Matrix dOut = dY.columns(column, out), mask = mask(member, x, key);
            if (member.weights.weight() instanceof Weight.Dense(Parameter weight)) {
                assertAdded("dWeight", weight, member.made.gradient(), member.reference, units, dOut, x, ReferenceLinear::weightGradient);
            }
            if (member.weights.bias() != null) {
                assertAdded("dBias", member.weights.bias(), member.dBias, member.reference, units, dOut, x, (layer, d, in) -> layer.biasGradient(d));
            }
            if (member.weights.lora() != null) {
                assertAdded("dA", member.weights.lora().a(), member.dA, member.reference, units, dOut, x, (layer, d, in) -> layer.aGradient(d, in, mask));
                assertAdded("dB", member.weights.lora().b(), member.dB, member.reference, units, dOut, x, (layer, d, in) -> layer.bGradient(d, in, mask));
            }
            column += out;
        }
    }

    private interface Gradient {
        Matrix of(ReferenceLinear layer, Matrix dY, Matrix x);
    }

    private void assertAdded(String what, Parameter parameter, Matrix before, ReferenceLinear layer, double units, Matrix dY, Matrix x, Gradient gradient) {
        if (parameter.isTrained()) {
            Matrix terms = before.absolute().plus(gradient.of(layer.absolute(), dY.absolute(), x.absolute()));
            test.assertNear(what, parameter.gradient(), before.plus(gradient.of(layer, dY, x)), terms, units);
        }
    }
}
