package jqlora.ops;

import static jqlora.Assert.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import jqlora.ops.cuda.CudaOps;
import jqlora.ops.cuda.Gpu;
import jqlora.tensor.Tensor;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.AfterParameterizedClassInvocation;
import org.junit.jupiter.params.BeforeParameterizedClassInvocation;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Products with frozen 4-bit weights in FP8, scaled by cuBLASLt and by the kernel of our own. */
@Tag("gpu")
@ParameterizedClass
@ValueSource(booleans = {false, true})
class Fp8LinearTest {
    /** In roundings of bfloat16: half a unit of e4m3's last place is 2^-4 of a number, of each factor; the adapter's part and the result round as bfloat16. */
    private static final double OF_A_PRODUCT = 2 * 32 + 8, OF_BFLOAT16 = 8;
    /** Of a product's length: with fast accumulation the tensor cores add in some 14 bits, a part of the largest summand. */
    private static final double OF_ROUNDED_FACTORS = 0.02;
    /** Of a product's length: e4m3 rounds a factor by 2.6 percent of it, root mean square, so a product by 3.7; a row of 64 varies by a tenth of that. */
    private static final double OF_EXACT_FACTORS = 0.06;
    private static final double LARGEST = 448;
    private static CudaOps ops;

    /** Whether products are scaled by the kernel of our own. */
    @org.junit.jupiter.params.Parameter
    boolean scalesApart;

    @BeforeParameterizedClassInvocation
    static void open(boolean scalesApart) {
        ops = Gpu.openFp8(scalesApart);
    }

    @AfterParameterizedClassInvocation
    static void close() {
        assertEquals(0, ops.memory().bytesInUse(), "bytes in use after all is closed");
        ops.close();
    }

    record Case(int rows, int in, long dropoutKey, boolean below, List<RandomGroup.Layer> layers) {
        static Stream<Case> all() {
            int[] rows = {1, 9, 16, 63, 64, 65, 129, 300}, ins = {64, 128, 576, 1024, 1536}, outs = {16, 64, 80, 192, 208, 576, 1040}, ranks = {0, 1, 4, 8, 16};
            WeightKind[] kinds = {WeightKind.NF4, WeightKind.NF4_DOUBLE, WeightKind.NF4_DOUBLE_F32, WeightKind.FP4, WeightKind.FP4_DOUBLE_BF16};
            List<Case> cases = new ArrayList<>();
            for (int i = 0; i < 40; i++) {
                Random random = new Random(i);
                List<RandomGroup.Layer> layers = new ArrayList<>();
                for (int j = 0; j < 1 + i % 3; j++) {
                    layers.add(new RandomGroup.Layer(outs[(i + 3 * j) % outs.length], kinds[(i + j) % kinds.length], ranks[(i / 2 + j) % ranks.length], (i + j) % 4 != 1,
                            random.nextBoolean() ? 0 : 0.2f, random.nextInt(3) == 0 ? random.nextBoolean() : null));
                }
                cases.add(new Case(rows[i % rows.length], ins[(i + i / 8) % ins.length], i % 3 == 0 ? 99887766L + i : 0, i % 5 != 0, layers));
            }
            return cases.stream();
        }
    }

    @ParameterizedTest
    @MethodSource("jqlora.ops.Fp8LinearTest$Case#all")
    void everyElementIsWithinTheRoundingsOfItsFactors(Case c) throws Exception {
        TestOps test = TestOps.of("CUDA, FP8", ops);
        Random random = new Random(c.rows * 1000 + c.in);
        RandomGroup group = new RandomGroup(test, random, c.in, c.layers);
        int out = group.outFeatures(), innerColumns = group.innerColumns();
        Matrix x = test.random(random, c.rows, c.in), dY = test.random(random, c.rows, out), added = test.random(random, c.rows, out);
        Tensor xT = test.activation(x), dYT = test.activation(dY), addedT = test.activation(added);
        Tensor inner = innerColumns == 0 ? null : test.poisoned(ops.computeType(), c.rows, innerColumns);
        test.poisonNext(c.rows, out);
        group.assertForward(test.keep(Calls.linear(ops, xT, group.weights(), inner, c.dropoutKey)), x, c.dropoutKey, OF_A_PRODUCT);
        if (inner != null) {
            group.assertInner(inner, x, c.dropoutKey, OF_BFLOAT16);
        }
        test.poisonNext(c.rows, out);
        group.assertForward(test.keep(Calls.linearAdd(ops, addedT, xT, group.weights(), inner, c.dropoutKey)), x, c.dropoutKey, added, OF_A_PRODUCT);
        Tensor dX = c.below ? test.poisoned(ops.computeType(), c.rows, c.in) : null;
        Calls.linearBackward(ops, dX, dYT, xT, group.weights(), inner, c.dropoutKey);
        if (dX != null) {
            group.assertInputGradient(dX, dY, x, c.dropoutKey, OF_A_PRODUCT);
        }
        group.assertGradients(dY, x, c.dropoutKey, OF_BFLOAT16);
        test.assertNear("x is read only", xT, x, 0);
        test.assertNear("dY is read only", dYT, dY, 0);
        test.assertNear("added is read only", addedT, added, 0);
        test.finish();
    }

    /** Forward and backward are the products of the factors rounded to e4m3, and near those of the exact factors; the second time they have the same bits. */
    @ParameterizedTest
    @CsvSource({"9, 1536, 592", "77, 1536, 592", "256, 1536, 592", "24, 14336, 64"})
    void isTheProductOfTheRoundedFactors(int rows, int in, int out) throws Exception {
        TestOps test = TestOps.of("CUDA, FP8", ops);
        for (WeightKind kind : new WeightKind[] {WeightKind.NF4, WeightKind.FP4_DOUBLE_BF16, WeightKind.NF4_DOUBLE_F32}) {
            Random random = new Random(rows);
            WeightKind.Made made = kind.make(test, random, out, in);
            List<LinearWeights> group = List.of(new LinearWeights(made.weight(), null, null));
            // rows of very different sizes, one of them zero
            Matrix x = test.random(random, rows, in), dY = test.random(random, rows, out);
            for (int row = 0; row < rows; row++) {
                for (int i = 0; i < in; i++) {
                    x.set(row, i, row == 5 ? 0 : x.get(row, i) * Math.scalb(1.0, row % 60 - 40));
                }
            }
            Tensor xT = test.activation(x), dYT = test.activation(dY), dX = test.poisoned(ops.computeType(), rows, in);
            Tensor y = test.keep(Calls.linear(ops, xT, group, null, 0));
            Calls.linearBackward(ops, dX, dYT, xT, group, null, 0);
            if (kind == WeightKind.NF4) {
                // the others' scales are bounds, or their decoded values are rounded twice
                assertDistance("y", test, y, rounded(x).times(rounded(made.value()).transposed()), OF_ROUNDED_FACTORS);
                assertDistance("dX", test, dX, rounded(dY).times(roundedByColumns(made.value())), OF_ROUNDED_FACTORS);
            }
            assertDistance("y, exact", test, y, x.times(made.value().transposed()), OF_EXACT_FACTORS);
            assertDistance("dX, exact", test, dX, dY.times(made.value()), OF_EXACT_FACTORS);
            Tensor again = test.poisoned(ops.computeType(), rows, in);
            Calls.linearBackward(ops, again, dYT, xT, group, null, 0);
            assertSameBits("y", test.values(test.keep(Calls.linear(ops, xT, group, null, 0))), test.values(y));
            assertSameBits("dX", test.values(again), test.values(dX));
        }
        test.finish();
    }

    /** A product reads the codes that the kernel before it wrote, unless the numbers have changed since; the copy of a tensor has none. */
    @ParameterizedTest
    @CsvSource({"37, 64", "12, 576", "9, 4096", "10, 14336", "11, 16448"})
    void codesWrittenInPassingAreThoseOfTheNumbers(int rows, int n) throws Exception {
        TestOps test = TestOps.of("CUDA, FP8", ops);
        Random random = new Random(n);
        List<LinearWeights> from = List.of(new LinearWeights(WeightKind.NF4.make(test, random, 16, n).weight(), null, null));
        List<LinearWeights> to = List.of(new LinearWeights(WeightKind.NF4.make(test, random, 2 * n, 64).weight(), null, null));
        Tensor x = test.activation(test.random(random, rows, n)), gateUp = test.activation(test.random(random, rows, 2 * n)), dY = test.activation(test.random(random, rows, n));
        Parameter weight = test.frozen("norm", jqlora.tensor.DType.BF16, test.random(random, 1, n), n);
        Tensor dX = test.activation(test.random(random, rows, n)), dGateUp = test.poisoned(ops.computeType(), rows, 2 * n);
        for (Norm norm : List.of(new Norm.Rms(weight, 0, 1e-5f), new Norm.Rms(weight, 1, 1e-5f), new Norm.Layer(weight, weight, 1e-5f))) {
            Tensor statistics = test.poisoned(jqlora.tensor.DType.F32, norm.statistics(rows).toArray());
            assertCodes("norm", test, test.keep(Calls.norm(ops, x, norm, statistics)), from);
            Calls.normBackward(ops, dX, dY, x, norm, statistics);
            assertCodes("normBackward", test, dX, from);
        }
        ops.addInPlace(dX, dY);
        assertCodes("addInPlace", test, dX, from);
        Tensor copy = test.keep(ops.allocate(ops.computeType(), rows, 2 * n)), gradient = test.poisoned(ops.computeType(), rows, 64), ofCopy = test.poisoned(ops.computeType(), rows, 64);
        for (Activation activation : Activation.values()) {
            assertCodes("gatedActivation", test, test.keep(Calls.gatedActivation(ops, gateUp, activation)), from);
            Calls.gatedActivationBackward(ops, dGateUp, dY, gateUp, activation);
            ops.copyInto(copy, dGateUp);
            Calls.linearBackward(ops, gradient, dGateUp, gradient, to, null, 0);
            Calls.linearBackward(ops, ofCopy, copy, ofCopy, to, null, 0);
            assertSameBits("gatedActivationBackward", test.values(gradient), test.values(ofCopy));
        }
        test.finish();
    }

    private static void assertCodes(String what, TestOps test, Tensor made, List<LinearWeights> group) {
        Tensor copy = test.keep(ops.allocate(ops.computeType(), made.shape().toArray()));
        ops.copyInto(copy, made);
        assertSameBits(what, test.values(test.keep(Calls.linear(ops, made, group, null, 0))), test.values(test.keep(Calls.linear(ops, copy, group, null, 0))));
    }

    /** Sizes that FP8 does not take have the bits of bfloat16, and so has the output layer, 4 bits or not. */
    @ParameterizedTest
    @ValueSource(ints = {63, 65, 96})
    void otherSizesStayInBfloat16(int in) throws Exception {
        TestOps test = TestOps.of("CUDA, FP8", ops);
        Random random = new Random(in);
        Matrix x = test.random(random, 33, in);
        RandomGroup group = new RandomGroup(test, random, in, List.of(new RandomGroup.Layer(48, WeightKind.NF4_DOUBLE, 0, false, 0, null)));
        group.assertForward(test.keep(Calls.linear(ops, test.activation(x), group.weights(), null, 0)), x, 0, OF_BFLOAT16);
        WeightKind.Made head = WeightKind.NF4_DOUBLE_F32.make(test, random, 64, 128);
        Matrix hidden = test.random(random, 33, 128);
        Tensor sum = test.keep(ops.zeros(jqlora.tensor.DType.F64, 1));
        int[] targets = random.ints(33, 0, 64).toArray();
        Calls.headLoss(ops, test.activation(hidden), new LinearWeights(head.weight(), null, null), targets, 1, sum, null);
        Matrix logits = hidden.times(head.value().transposed());
        double expected = 0;
        for (int row = 0; row < 33; row++) {
            double total = 0;
            for (int i = 0; i < 64; i++) {
                total += Math.exp(logits.get(row, i));
            }
            expected += Math.log(total) - logits.get(row, targets[row]);
        }
        assertEquals(expected, test.number(sum), 4e-3 * expected, "loss");
        assertTrue(ops.description().endsWith(", products with 4-bit weights in FP8 (e4m3)"), ops.description());
        assertEquals("BF16, products with 4-bit weights in FP8 (e4m3)", ops.arithmetic());
        test.finish();
    }

    private static void assertDistance(String what, TestOps test, Tensor actual, Matrix expected, double most) {
        float[] values = test.values(actual);
        int columns = expected.columns();
        for (int row = 0; row < expected.rows(); row++) {
            double difference = 0, length = 0;
            for (int i = 0; i < columns; i++) {
                double d = values[row * columns + i] - expected.get(row, i);
                difference += d * d;
                length += expected.get(row, i) * expected.get(row, i);
            }
            double relative = Math.sqrt(difference), limit = most * Math.sqrt(length);
            int at = row;
            assertTrue(relative <= limit, () -> what + ": row " + at + " differs by " + relative + ", at most " + limit + " is expected");
        }
    }

    // ---- e4m3: 3 bits of mantissa, exponents down to 2^-6, then even steps of 2^-9

    private static Matrix rounded(Matrix x) {
        Matrix result = Matrix.zeros(x.rows(), x.columns());
        for (int row = 0; row < x.rows(); row++) {
            double largest = 0;
            for (int i = 0; i < x.columns(); i++) {
                largest = Math.max(largest, Math.abs(x.get(row, i)));
            }
            double scale = Math.max(largest, 1e-30) / LARGEST;
            for (int i = 0; i < x.columns(); i++) {
                result.set(row, i, e4m3(x.get(row, i) / scale) * scale);
            }
        }
        return result;
    }

    /** The scale of a column is that of the 64 that share quantization blocks. */
    private static Matrix roundedByColumns(Matrix weight) {
        Matrix result = Matrix.zeros(weight.rows(), weight.columns());
        for (int from = 0; from < weight.columns(); from += 64) {
            double largest = 0;
            for (int row = 0; row < weight.rows(); row++) {
                for (int i = from; i < from + 64; i++) {
                    largest = Math.max(largest, Math.abs(weight.get(row, i)));
                }
            }
            for (int row = 0; row < weight.rows(); row++) {
                for (int i = from; i < from + 64; i++) {
                    result.set(row, i, e4m3(weight.get(row, i) / (largest / LARGEST)) * (largest / LARGEST));
                }
            }
        }
        return result;
    }

    private static double e4m3(double x) {
        int exponent = Math.max(Math.getExponent(x), -6);
        double step = Math.scalb(1.0, exponent - 3);
        return Math.clamp(Math.rint(x / step) * step, -LARGEST, LARGEST);
    }
}
