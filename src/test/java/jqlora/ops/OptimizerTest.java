package jqlora.ops;

import static jqlora.Assert.assertClose;
import static jqlora.Assert.assertSameBits;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
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
class OptimizerTest {
    private static final int[] SIZES = {3, 17, 64, 129, 70_000};
    /** Moments, bias corrections and step size are each rounded to float32. */
    private static final double UNITS = 6;
    private final TestOps test;

    OptimizerTest(TestOps test) {
        this.test = test;
    }

    @AfterEach
    void finish() throws Exception {
        test.finish();
    }

    @ParameterizedTest
    @CsvSource({"0.9, 0.999, 1e-8, 0.01, 1", "0.9, 0.999, 1e-8, 0, 0", "0.8, 0.95, 1e-5, 0.1, 0.3", "0, 0.5, 1e-8, 0, 1e9"})
    void adamW(double beta1, double beta2, double eps, double weightDecay, double maxGradNorm) {
        Random random = new Random(11);
        List<AdamWState> states = new ArrayList<>();
        List<ReferenceOps.AdamWResult> expected = new ArrayList<>();
        for (int size : SIZES) {
            Matrix value = Matrix.random(random, 1, size).rounded(DType.F32), zero = Matrix.zeros(1, size);
            Parameter parameter = test.trained("p" + size, value, zero, size);
            states.add(new AdamWState(parameter, test.upload(DType.F32, zero, size), test.upload(DType.F32, zero, size)));
            expected.add(new ReferenceOps.AdamWResult(value, zero, zero));
        }
        List<Parameter> parameters = states.stream().map(AdamWState::parameter).toList();
        Tensor norm = test.poisoned(DType.F64, 1);
        for (int step = 1; step <= 5; step++) {
            AdamWStep numbers = new AdamWStep(step, 0.01 / step, beta1, beta2, eps, weightDecay, maxGradNorm);
            List<Matrix> gradients = new ArrayList<>();
            double squares = 0;
            for (Parameter parameter : parameters) {
                Matrix gradient = Matrix.random(random, 1, (int) parameter.value().shape().size()).scaled(0.01 * step).rounded(DType.F32);
                test.ops().copyInto(parameter.gradient(), test.upload(DType.F32, gradient, gradient.columns()));
                gradients.add(gradient);
                squares += gradient.dot(gradient);
            }
            test.ops().gradientNorm(parameters, norm);
            assertClose("norm", test.number(norm), Math.sqrt(squares), UNITS * 0x1p-24, 0);
            test.ops().adamW(states, numbers, norm);
            for (int i = 0; i < SIZES.length; i++) {
                expected.set(i, ReferenceOps.adamW(expected.get(i), gradients.get(i), numbers, Math.sqrt(squares)));
                test.assertNearFloats("first moment, step " + step, states.get(i).firstMoment(), expected.get(i).firstMoment(), UNITS);
                test.assertNearFloats("second moment, step " + step, states.get(i).secondMoment(), expected.get(i).secondMoment(), UNITS);
                test.assertNearFloats("value, step " + step, parameters.get(i).value(), expected.get(i).value(), UNITS);
                test.assertNearFloats("gradient is read only", parameters.get(i).gradient(), gradients.get(i), 0);
            }
        }
    }

    /** A parameter that starts at zero shows the update alone: the size of a step is the learning rate. */
    @ParameterizedTest
    @CsvSource({"0.9, 0.999", "0.9, 0.95", "0.5, 0.9999"})
    void theUpdateAloneIsExactToFloat(double beta1, double beta2) {
        int size = 37;
        Random random = new Random(12);
        Matrix zero = Matrix.zeros(1, size), gradient = Matrix.random(random, 1, size).rounded(DType.F32);
        Parameter parameter = test.trained("p", zero, gradient, size);
        AdamWState state = new AdamWState(parameter, test.upload(DType.F32, zero, size), test.upload(DType.F32, zero, size));
        AdamWStep step = new AdamWStep(1, 1e-3, beta1, beta2, 1e-8, 0, 0);
        test.ops().adamW(List.of(state), step, test.poisoned(DType.F64, 1));
        var expected = ReferenceOps.adamW(new ReferenceOps.AdamWResult(zero, zero, zero), gradient, step, 0);
        test.assertNearFloats("update", parameter.value(), expected.value(), UNITS);
        test.assertNearFloats("first moment", state.firstMoment(), expected.firstMoment(), UNITS);
        test.assertNearFloats("second moment", state.secondMoment(), expected.secondMoment(), UNITS);
    }

    /** Moments that lie in the host's memory between steps, more than pass through the device at once: the same bits. */
    @Test
    void momentsInTheHostsMemory() {
        int[] sizes = {1, 63, 65_536, 5_000_003, 70_001, 1_048_577, 128, 4_200_000};
        Random random = new Random(13);
        List<AdamWState> here = new ArrayList<>(), there = new ArrayList<>();
        for (int size : sizes) {
            Matrix value = Matrix.random(random, 1, size).rounded(DType.F32), gradient = Matrix.random(random, 1, size).rounded(DType.F32), zero = Matrix.zeros(1, size);
            for (List<AdamWState> states : List.of(here, there)) {
                states.add(new AdamWState(test.trained("p" + size, value, gradient, size), test.upload(DType.F32, zero, size), test.upload(DType.F32, zero, size)));
            }
        }
        Tensor norm = test.poisoned(DType.F64, 1);
        there.forEach(state -> test.ops().offload(List.of(state.firstMoment(), state.secondMoment())));
        for (int step = 1; step <= 3; step++) {
            for (List<AdamWState> states : List.of(here, there)) {
                test.ops().gradientNorm(states.stream().map(AdamWState::parameter).toList(), norm);
                test.ops().adamW(states, new AdamWStep(step, 0.01, 0.9, 0.999, 1e-8, 0.1, 0.3), norm);
            }
            here.forEach(state -> test.ops().addInPlace(state.parameter().gradient(), state.firstMoment()));
            for (int i = 0; i < sizes.length; i++) {
                test.ops().copyInto(there.get(i).parameter().gradient(), here.get(i).parameter().gradient());
            }
        }
        for (int i = 0; i < sizes.length; i++) {
            test.ops().fetch(List.of(there.get(i).firstMoment(), there.get(i).secondMoment()));
            assertSameBits("value of " + sizes[i], test.values(there.get(i).parameter().value()), test.values(here.get(i).parameter().value()));
            assertSameBits("first moment of " + sizes[i], test.values(there.get(i).firstMoment()), test.values(here.get(i).firstMoment()));
            assertSameBits("second moment of " + sizes[i], test.values(there.get(i).secondMoment()), test.values(here.get(i).secondMoment()));
        }
    }

    @ParameterizedTest
    @CsvSource({"3, 4, 5", "0, 0, 0", "1e-17, 0, 1e-17", "1e18, 0, 1e18"})            // squares within the range of float32
    void gradientNorm(double first, double second, double expected) {
        Parameter a = test.trained("a", Matrix.zeros(1, 1), Matrix.row(first).rounded(DType.F32), 1);
        Parameter b = test.trained("b", Matrix.zeros(2, 2), Matrix.filled(2, 2, second / 2), 2, 2);
        Tensor norm = test.poisoned(DType.F64, 1);
        test.ops().gradientNorm(List.of(a, b), norm);
        assertClose("norm", test.number(norm), expected, 2 * 0x1p-24, 0);
    }
}
