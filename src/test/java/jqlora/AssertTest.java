package jqlora;

import static jqlora.Assert.assertClose;
import static jqlora.Assert.assertFails;
import static jqlora.Assert.assertSameBits;

import org.junit.jupiter.api.Test;
import org.opentest4j.AssertionFailedError;

class AssertTest {
    @Test
    void nanFailsEvenBesideNan() {
        float[] nan = {0, Float.NaN, 0};
        assertFails(AssertionFailedError.class, () -> assertClose("x", nan, new float[] {0, 1, 0}, 1, 1), "x: 1 of 3", "index 1");
        assertFails(AssertionFailedError.class, () -> assertClose("x", nan, nan, 1, 1), "1 of 3");
        assertFails(AssertionFailedError.class, () -> assertClose(new double[] {Double.NaN}, new double[] {1}, 1, 1), "1 of 1");
        assertFails(AssertionFailedError.class, () -> assertClose("x", Double.NaN, 1, 1, 1), "NaN");
    }

    @Test
    void theWorstElementIsNamed() {
        assertFails(AssertionFailedError.class, () -> assertClose("y", new float[] {1.1f, 3, 1}, new float[] {1, 1, 1}, 0, 0.01),
                "2 of 3", "worst at index 1: 3.0, expected 1.0");
    }

    @Test
    void toleranceIsRelativeToTheExpectedValue() {
        assertClose("z", new float[] {100.5f, Float.POSITIVE_INFINITY}, new float[] {100, Float.POSITIVE_INFINITY}, 0.005, 0);
        assertFails(AssertionFailedError.class, () -> assertClose("z", new float[] {100.6f}, new float[] {100}, 0.005, 0), "z: 1 of 1");
    }

    @Test
    void anInfinityEqualsOnlyItself() {
        float infinity = Float.POSITIVE_INFINITY;
        assertFails(AssertionFailedError.class, () -> assertClose(new float[] {1}, new float[] {infinity}, 0.1, 0.1), "expected Infinity");
        assertFails(AssertionFailedError.class, () -> assertClose(new float[] {-infinity}, new float[] {infinity}, 0.1, 0.1), "1 of 1");
    }

    @Test
    void lengthsMustAgree() {
        assertFails(AssertionFailedError.class, () -> assertClose(new float[2], new float[3], 1, 1), "number of elements");
        assertFails(AssertionFailedError.class, () -> assertSameBits("b", new float[2], new float[3]), "b: number of elements");
    }

    @Test
    void bitsTellTheZerosApart() {
        assertSameBits("b", new float[] {1, -0f}, new float[] {1, -0f});
        assertFails(AssertionFailedError.class, () -> assertSameBits("b", new float[] {1, -0f}, new float[] {1, 0f}), "element 1 is -0.0", "0x0.0p0");
    }
}
