package jqlora.ops;

import static jqlora.Assert.assertClose;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import jqlora.ops.cpu.CpuOps;
import jqlora.ops.cuda.Gpu;
import jqlora.quant.DynamicMap;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

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

    /** Against the definition in float64 from the codes before each step, and bit for bit against one thread of the processor. */
    @ParameterizedTest
    @CsvSource({"0.9, 0.999, 1e-8, 0.01, 1", "0.9, 0.999, 1e-8, 0, 0", "0.8, 0.95, 1e-5, 0.1, 0.3"})
    void adamW8bit(double beta1, double beta2, double eps, double weightDecay, double maxGradNorm) throws Exception {
        Random random = new Random(13);
        List<AdamW8bitState> states = new ArrayList<>(), single = new ArrayList<>();
        List<Matrix> gradients = new ArrayList<>();
        TestOps processor = TestOps.of("one thread", CpuOps.create(1));
        for (int size : SIZES) {
            Matrix value = Matrix.random(random, 1, size).rounded(DType.F32), zero = Matrix.zeros(1, size);
            states.add(test.keep(AdamW8bitState.create(test.ops(), test.trained("p" + size, value, zero, size))));
            single.add(processor.keep(AdamW8bitState.create(processor.ops(), processor.trained("p" + size, value, zero, size))));
        }
        Tensor norm = test.poisoned(DType.F64, 1), sameNorm = processor.poisoned(DType.F64, 1);
        for (int step = 1; step <= 4; step++) {
            AdamWStep numbers = new AdamWStep(step, 0.01 / step, beta1, beta2, eps, weightDecay, maxGradNorm);
            double squares = 0;
            gradients.clear();
            for (int i = 0; i < SIZES.length; i++) {
                // blocks of very different sizes, and one without a gradient
                Matrix gradient = Matrix.random(random, 1, SIZES[i]);
                for (int k = 0; k < SIZES[i]; k++) {
                    gradient.set(0, k, gradient.get(0, k) * (k / 256 % 3 == 2 ? 0 : Math.pow(10, -k / 256 % 7)));
                }
                gradient = gradient.rounded(DType.F32);
                gradients.add(gradient);
                squares += gradient.dot(gradient);
                test.ops().copyInto(states.get(i).parameter().gradient(), test.upload(DType.F32, gradient, SIZES[i]));
                processor.ops().copyInto(single.get(i).parameter().gradient(), processor.upload(DType.F32, gradient, SIZES[i]));
            }
            setTo(test, norm, Math.sqrt(squares));
            setTo(processor, sameNorm, Math.sqrt(squares));
            List<ReferenceOps.AdamWResult> expected = new ArrayList<>();
            for (int i = 0; i < SIZES.length; i++) {
                expected.add(ReferenceOps.adamW8bit(decoded(states.get(i)), gradients.get(i), numbers, Math.sqrt(squares)));
            }
            test.ops().adamW8bit(states, numbers, norm);
            processor.ops().adamW8bit(single, numbers, sameNorm);
            for (int i = 0; i < SIZES.length; i++) {
                ReferenceOps.AdamWResult exact = expected.get(i), actual = decoded(states.get(i));
                test.assertNearFloats("value, step " + step, states.get(i).parameter().value(), exact.value(), 64);       // 1 - 0.999 is right to 5 digits
                assertRounded("first moment, step " + step, actual.firstMoment(), exact.firstMoment());
                assertRounded("second moment, step " + step, actual.secondMoment(), exact.secondMoment());
                assertSameBytes("value, step " + step, test, states.get(i).parameter().value(), processor, single.get(i).parameter().value());
                for (int moment = 0; moment < 2; moment++) {
                    EightBitMoment ours = moment == 0 ? states.get(i).firstMoment() : states.get(i).secondMoment(), theirs = moment == 0 ? single.get(i).firstMoment() : single.get(i).secondMoment();
                    assertSameBytes("codes, step " + step, test, ours.codes(), processor, theirs.codes());
                    assertSameBytes("absmax, step " + step, test, ours.absmax(), processor, theirs.absmax());
                }
            }
        }
        processor.finish();
        processor.close();
    }

    /** Gradients that are not finite move nothing and clear the moments, as in bitsandbytes. */
    @Test
    void gradientsThatAreNotFiniteIn8Bits() {
        int size = 300;
        Random random = new Random(14);
        Matrix value = Matrix.random(random, 1, size).rounded(DType.F32), gradient = Matrix.random(random, 1, size).rounded(DType.F32);
        AdamW8bitState state = test.keep(AdamW8bitState.create(test.ops(), test.trained("p", value, gradient, size)));
        AdamWStep step = new AdamWStep(1, 0.01, 0.9, 0.999, 1e-8, 0.1, 0);
        test.ops().adamW8bit(List.of(state), step, test.poisoned(DType.F64, 1));
        float before = test.values(state.parameter().value())[290];
        gradient.set(0, 290, Double.NaN);
        gradient.set(0, 3, Double.POSITIVE_INFINITY);
        test.ops().copyInto(state.parameter().gradient(), test.upload(DType.F32, gradient, size));
        test.ops().adamW8bit(List.of(state), step, test.poisoned(DType.F64, 1));
        ReferenceOps.AdamWResult after = decoded(state);
        assertEquals(before, test.values(state.parameter().value())[290]);
        assertEquals(0, after.firstMoment().get(0, 290));
        assertEquals(0, after.secondMoment().get(0, 3));
        assertNotEquals(0, after.firstMoment().get(0, 291));
    }

    private static void setTo(TestOps test, Tensor scalar, double value) {
        test.ops().copyInto(scalar, test.upload(DType.F64, Matrix.filled(1, 1, value), 1));
    }

    private static void assertSameBytes(String what, TestOps one, Tensor tensor, TestOps other, Tensor expected) {
        assertArrayEquals(other.ops().download(expected).data().toArray(ValueLayout.JAVA_BYTE), one.ops().download(tensor).data().toArray(ValueLayout.JAVA_BYTE), what);
    }

    /** The state as numbers. */
    private ReferenceOps.AdamWResult decoded(AdamW8bitState state) {
        float[] value = test.values(state.parameter().value());
        return new ReferenceOps.AdamWResult(Matrix.of(1, value.length, value), decoded(state.firstMoment(), DynamicMap.signed()), decoded(state.secondMoment(), DynamicMap.unsigned()));
    }

    private Matrix decoded(EightBitMoment moment, DynamicMap map) {
        int[] codes = test.ops().download(moment.codes()).toInts();
        float[] absmax = test.values(moment.absmax());
        Matrix values = Matrix.zeros(1, codes.length);
        for (int i = 0; i < codes.length; i++) {
            values.set(0, i, map.value(codes[i]) * absmax[i / EightBitMoment.BLOCK_SIZE]);
        }
        return values;
    }

    /** Each number within half a step of the code from the exact one, which is 0.007 of the block's largest above its tenth and a fifth of that below, and of its sign. */
    private static void assertRounded(String what, Matrix actual, Matrix exact) {
        for (int from = 0; from < exact.columns(); from += EightBitMoment.BLOCK_SIZE) {
            int count = Math.min(EightBitMoment.BLOCK_SIZE, exact.columns() - from);
            double largest = exact.columns(from, count).largestMagnitude();
            for (int i = from; i < from + count; i++) {
                double difference = Math.abs(actual.get(0, i) - exact.get(0, i)), allowed = largest * (Math.abs(exact.get(0, i)) >= 0.08 * largest ? 0.0071 : 0.0015);
                assertTrue(difference <= allowed, what + ": element " + i + " is " + actual.get(0, i) + " for " + exact.get(0, i) + " in a block of " + largest);
                assertTrue(actual.get(0, i) * exact.get(0, i) >= 0, what + ": element " + i + " has the other sign");
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

    /** Parameters and their moments, in 32 or in 8 bits. */
    private record Trained(List<Parameter> parameters, List<AdamWState> in32Bits, List<AdamW8bitState> in8Bits) {
        Trained() {
            this(new ArrayList<>(), new ArrayList<>(), new ArrayList<>());
        }

        void add(TestOps test, Parameter parameter, boolean of8Bits) {
            parameters.add(parameter);
            Matrix zero = Matrix.zeros(1, (int) parameter.value().shape().size());
            if (of8Bits) {
                in8Bits.add(test.keep(AdamW8bitState.create(test.ops(), parameter)));
            } else {
                in32Bits.add(new AdamWState(parameter, test.upload(DType.F32, zero, zero.columns()), test.upload(DType.F32, zero, zero.columns())));
            }
        }

        List<Tensor> moments(int i) {
            return in8Bits.isEmpty() ? in32Bits.get(i).tensors() : in8Bits.get(i).tensors();
        }

        void step(Ops ops, AdamWStep numbers, Tensor norm) {
            ops.gradientNorm(parameters, norm);
            if (in8Bits.isEmpty()) {
                ops.adamW(in32Bits, numbers, norm);
            } else {
                ops.adamW8bit(in8Bits, numbers, norm);
            }
        }
    }

    /** Moments that lie in the host's memory between steps, more than pass through the device at once, and some that do not: the same bits. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void momentsInTheHostsMemory(boolean of8Bits) {
        // a GPU passes four million through at once; for a backend in the host's memory there is nothing to pass
        int[] sizes = Gpu.isWanted() ? new int[] {1, 63, 65_536, 5_000_003, 70_001, 1_048_577, 128, 4_200_000} : new int[] {1, 63, 65_536, 70_001, 128};
        Ops ops = test.ops();
        Random random = new Random(13);
        Trained here = new Trained(), there = new Trained();
        for (int size : sizes) {
            Matrix value = Matrix.random(random, 1, size).rounded(DType.F32), gradient = Matrix.random(random, 1, size).rounded(DType.F32);
            for (Trained trained : List.of(here, there)) {
                trained.add(test, test.trained("p" + size, value, gradient, size), of8Bits);
            }
        }
        Tensor norm = test.poisoned(DType.F64, 1);
        for (int i = 0; i < sizes.length; i++) {
            if (sizes[i] != 70_001) {
                ops.offload(there.moments(i));
            }
        }
        for (int step = 1; step <= 3; step++) {
            for (Trained trained : List.of(here, there)) {
                trained.step(ops, new AdamWStep(step, 0.01, 0.9, 0.999, 1e-8, 0.1, 0.3), norm);
            }
            for (int i = 0; i < sizes.length; i++) {
                Parameter parameter = here.parameters().get(i);
                ops.addInPlace(parameter.gradient(), parameter.value());
                ops.copyInto(there.parameters().get(i).gradient(), parameter.gradient());
            }
        }
        for (int i = 0; i < sizes.length; i++) {
            ops.fetch(there.moments(i));
            assertSameBytes("value of " + sizes[i], test, there.parameters().get(i).value(), test, here.parameters().get(i).value());
            for (int k = 0; k < here.moments(i).size(); k++) {
                assertSameBytes("tensor " + k + " of the moments of " + sizes[i], test, there.moments(i).get(k), test, here.moments(i).get(k));
            }
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
