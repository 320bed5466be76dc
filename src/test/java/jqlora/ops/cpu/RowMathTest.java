package jqlora.ops.cpu;

import static jqlora.Assert.assertClose;
import static jqlora.Assert.assertSameBits;
import static jqlora.tensor.TensorView.FLOAT;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import java.util.Random;
import java.util.stream.Stream;
import jqlora.ops.ReferenceOps;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class RowMathTest {
    private static final RowMath PLAIN = new PlainRowMath(), VECTOR = new VectorRowMath();

    // ---- exp

    /** Every {@code step}-th float of the range. */
    private static void checkExp(int step) {
        float[] x = new float[4096];
        int filled = 0;
        for (long bits = 0; bits < 1L << 32; bits += step) {
            float value = Float.intBitsToFloat((int) bits);
            if (value >= RowMath.EXP_LOWEST && value <= RowMath.EXP_HIGHEST) {
                x[filled++] = value;
                if (filled == x.length) {
                    checkExp(x);
                    filled = 0;
                }
            }
        }
        checkExp(java.util.Arrays.copyOf(x, filled));
    }

    private static void checkExp(float[] x) {
        float[] vector = vectorExp(x);
        for (int i = 0; i < x.length; i++) {
            float actual = RowMath.exp(x[i]);
            double expected = Math.exp(x[i]);
            if (!(Math.abs(actual - expected) <= 2 * Math.ulp((float) expected))) {
                assertEquals(expected, actual, "exp(" + x[i] + ") must be within 2 units in the last place");
            }
            if (Float.floatToRawIntBits(actual) != Float.floatToRawIntBits(vector[i])) {
                assertSameBits("exp(" + x[i] + ")", new float[] {vector[i]}, new float[] {actual});
            }
        }
    }

    /** The exponential within {@link RowMath#softmaxAgain}: exp(1 x - 0). */
    private static float[] vectorExp(float[] x) {
        float[] y = x.clone();
        VECTOR.softmaxAgain(MemorySegment.ofArray(y), 0, y.length, 1f, 0f);
        return y;
    }

    @Test
    void expIsWithinTwoUnitsInTheLastPlace() {
        checkExp(997);
    }

    @Tag("slow")
    @Test
    void expOfEveryFloat() {
        checkExp(1);
    }

    @Test
    void expBeyondTheRange() {
        float[] x = {Math.nextDown(RowMath.EXP_LOWEST), -88, -100, -1e30f, Float.NEGATIVE_INFINITY, RowMath.EXP_LOWEST, 0, -0f, Float.MIN_VALUE,
            RowMath.EXP_HIGHEST, 89, 1e30f, Float.POSITIVE_INFINITY, 1, -1, 5};
        float[] scalar = new float[x.length];
        for (int i = 0; i < x.length; i++) {
            scalar[i] = RowMath.exp(x[i]);
        }
        assertSameBits("vector", vectorExp(x), scalar);
        assertSameBits("0 below the lowest", java.util.Arrays.copyOf(scalar, 5), new float[5]);
        assertTrue(scalar[5] >= Float.MIN_NORMAL, "normal at the lowest: " + scalar[5]);
        assertSameBits("exp(0)", java.util.Arrays.copyOfRange(scalar, 6, 9), new float[] {1, 1, 1});
        float highest = scalar[9];
        assertTrue(highest > 3.3e38f && highest < Float.POSITIVE_INFINITY, "finite at the highest: " + highest);
        assertSameBits("no more above it", java.util.Arrays.copyOfRange(scalar, 10, 13), new float[] {highest, highest, highest});
    }

    @Test
    void expOfNanIsNan() {
        float[] x = new float[32];
        for (int i = 0; i < x.length; i++) {
            x[i] = Float.intBitsToFloat((i % 2 == 0 ? 0x7f800000 : 0xff800000) + (i < 16 ? 1 << i : 0x7fffff - i));
        }
        float[] vector = vectorExp(x);
        for (int i = 0; i < x.length; i++) {
            String bits = Integer.toHexString(Float.floatToRawIntBits(x[i]));
            assertTrue(Float.isNaN(RowMath.exp(x[i])), "exp of NaN " + bits + " is " + RowMath.exp(x[i]));
            assertTrue(Float.isNaN(vector[i]), "vector exp of NaN " + bits + " is " + vector[i]);
        }
    }

    // ---- the two implementations

    private static MemorySegment random(Random random, int count) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian() * 3;
        }
        return MemorySegment.ofArray(values);
    }

    private static float[] floats(MemorySegment segment) {
        return segment.toArray(FLOAT);
    }

    interface Use {
        /** @param memory four arrays of 300 floats, read or written */
        void on(RowMath math, MemorySegment[] memory, int at, int count);
    }

    record Elementwise(String name, Use use) {
        @Override
        public String toString() {
            return name;
        }
    }

    static Stream<Elementwise> elementwise() {
        var step = new RowMath.AdamWArguments(0.99f, 0.5f, 0.1f, 0.999f, 0.001f, 1e-8f, 3.1f, 1e-3f);
        return Stream.of(new Elementwise("add", (math, m, at, count) -> math.add(m[0], at, m[1], at + 3, count)),
                new Elementwise("scale", (math, m, at, count) -> math.scale(m[0], at, 1.7f, null, m[1], at + 1, count)),
                new Elementwise("scale by a weight", (math, m, at, count) -> math.scale(m[0], at, 1.7f, m[2], m[1], at + 1, count)),
                new Elementwise("normBackward", (math, m, at, count) -> math.normBackward(m[0], m[1], m[2], at, m[3], 0.7f, -0.3f, count)),
                new Elementwise("normalize", (math, m, at, count) -> math.normalize(m[0], at, 0.3f, 1.7f, m[2], m[3], m[1], at + 1, count)),
                new Elementwise("normalize without a weight", (math, m, at, count) -> math.normalize(m[0], at, 0.3f, 1.7f, null, null, m[1], at + 1, count)),
                new Elementwise("layerNormBackward", (math, m, at, count) -> math.layerNormBackward(m[0], at, m[1], m[2], 0.7f, -0.3f, 0.2f, count)),
                new Elementwise("softmaxAgain", (math, m, at, count) -> math.softmaxAgain(m[0], at, count, 0.3f, 1.1f)),
                new Elementwise("softmaxBackward", (math, m, at, count) -> math.softmaxBackward(m[0], m[1], at, count, 0.4f, 0.3f)),
                new Elementwise("silu", (math, m, at, count) -> math.silu(m[0], at, at + 120, m[1], at + 5, count)),
                new Elementwise("siluBackward", (math, m, at, count) -> math.siluBackward(m[0], m[1], at, at + 120, m[2], at + 7, count)),
                new Elementwise("gelu", (math, m, at, count) -> math.gelu(m[0], at, at + 120, m[1], at + 5, count)),
                new Elementwise("geluBackward", (math, m, at, count) -> math.geluBackward(m[0], m[1], at, at + 120, m[2], at + 7, count)),
                new Elementwise("geluTanh", (math, m, at, count) -> math.geluTanh(m[0], at, at + 120, m[1], at + 5, count)),
                new Elementwise("geluTanhBackward", (math, m, at, count) -> math.geluTanhBackward(m[0], m[1], at, at + 120, m[2], at + 7, count)),
                new Elementwise("rotate", (math, m, at, count) -> math.rotate(m[0], at, at + 120, m[1], m[2], at + 2, count, 1f)),
                new Elementwise("rotate back", (math, m, at, count) -> math.rotate(m[0], at, at + 120, m[1], m[2], at + 2, count, -1f)),
                new Elementwise("adamW", (math, m, at, count) -> math.adamW(step, m[0], m[1], m[2], positive(m[3]), at, count)));
    }

    private static MemorySegment positive(MemorySegment x) {
        for (long i = 0; i < x.byteSize() / 4; i++) {
            x.set(FLOAT, i * 4, Math.abs(x.get(FLOAT, i * 4)));
        }
        return x;
    }

    /** So the bits do not depend on where a loop is split between threads, or between vectors and the rest. Nothing beyond is written. */
    @ParameterizedTest
    @MethodSource
    void elementwise(Elementwise operation) {
        for (int count = 0; count <= 100; count++) {
            int at = count % 5;
            MemorySegment[] plain = new MemorySegment[4], vector = new MemorySegment[4];
            Random random = new Random(count);
            for (int i = 0; i < 4; i++) {
                plain[i] = random(random, 300);
                vector[i] = MemorySegment.ofArray(floats(plain[i]));
            }
            operation.use.on(PLAIN, plain, at, count);
            operation.use.on(VECTOR, vector, at, count);
            for (int i = 0; i < 4; i++) {
                assertSameBits(operation + ", count " + count + ", argument " + i, floats(vector[i]), floats(plain[i]));
            }
        }
    }

    @Test
    void dot() {
        for (int count : new int[] {0, 1, 7, 16, 31, 32, 33, 65, 129, 1000}) {
            Random random = new Random(count);
            MemorySegment x = random(random, count + 3), y = random(random, count + 5);
            double expected = 0, magnitudes = 0;
            for (int i = 0; i < count; i++) {
                double product = (double) x.get(FLOAT, (i + 3) * 4L) * y.get(FLOAT, (i + 5) * 4L);
                expected += product;
                magnitudes += Math.abs(product);
            }
            assertClose("plain", PLAIN.dot(x, 3, y, 5, count), expected, 0x1p-24, 0);                    // a sum in double, rounded once
            assertClose("vector", VECTOR.dot(x, 3, y, 5, count), expected, 0, 4 * 0x1p-24 * magnitudes);
        }
    }

    @Test
    void sum() {
        for (int count : new int[] {0, 1, 7, 16, 31, 32, 33, 65, 129, 1000}) {
            MemorySegment x = random(new Random(count), count + 3);
            double expected = 0, magnitudes = 0;
            for (int i = 0; i < count; i++) {
                expected += x.get(FLOAT, (i + 3) * 4L);
                magnitudes += Math.abs(x.get(FLOAT, (i + 3) * 4L));
            }
            assertClose("plain", PLAIN.sum(x, 3, count), expected, 0x1p-24, 0);                          // a sum in double, rounded once
            assertClose("vector", VECTOR.sum(x, 3, count), expected, 0, 4 * 0x1p-24 * magnitudes);
        }
    }

    /** Within 4 units of the last place as the exponential's argument allows: its rounding counts as often as it is large. */
    @Test
    void normalDistribution() {
        for (float x = -13.2f; x <= 13.2f; x += 0.00137f) {
            double expected = ReferenceOps.normalCdf(x), units = 4 + x * x / 2;
            float actual = RowMath.normalCdf(x, RowMath.exp(x * x * -0.5f));
            if (!(Math.abs(actual - expected) <= units * 2 * 0x1p-24 * expected)) {
                assertEquals(expected, actual, "normal distribution at " + x);
            }
        }
        assertEquals(0.5f, RowMath.normalCdf(0, 1), "at 0");
    }

    @Test
    void softmax() {
        for (int count : new int[] {1, 7, 16, 33, 129, 290}) {
            for (RowMath math : new RowMath[] {PLAIN, VECTOR}) {
                MemorySegment x = random(new Random(count), 300);
                float[] before = floats(x);
                double sum = 0;
                for (int i = 0; i < count; i++) {
                    sum += Math.exp(0.5 * before[i + 2]);
                }
                float logSum = math.softmax(x, 2, count, 0.5f);
                float[] after = floats(x);
                double[] expected = new double[300];
                for (int i = 0; i < 300; i++) {
                    expected[i] = i < 2 || i >= count + 2 ? before[i] : Math.exp(0.5 * before[i]) / sum;
                }
                assertClose("softmax of " + count, after, expected, 12 * 0x1p-24, 0);
                assertClose("logSum", logSum, Math.log(sum), 2 * 0x1p-24, 2 * 0x1p-24);
            }
        }
    }

    /** The largest score decides where only the tail of the row, or only the whole vectors, hold it. */
    @Test
    void softmaxOfLargeScores() {
        for (RowMath math : new RowMath[] {PLAIN, VECTOR}) {
            for (int largest : new int[] {0, 15, 16, 34}) {
                float[] x = new float[35];
                x[largest] = 1e5f;
                MemorySegment memory = MemorySegment.ofArray(x);
                assertEquals(1e5f, math.softmax(memory, 0, 35, 1f));
                float[] expected = new float[35];
                expected[largest] = 1;
                assertSameBits("softmax", floats(memory), expected);
            }
        }
    }
}
