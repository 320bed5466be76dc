package jqlora;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import org.junit.jupiter.api.function.Executable;

/** Comparisons that every test uses. */
public final class Assert {
    private Assert() { }

    /** As {@link #assertClose(String, float[], float[], double, double)}, without a name. */
    public static void assertClose(float[] actual, float[] expected, double rtol, double atol) {
        assertClose("values", actual, expected, rtol, atol);
    }

    /** As {@link #assertClose(String, double[], double[], double, double)}, without a name. */
    public static void assertClose(double[] actual, double[] expected, double rtol, double atol) {
        assertClose("values", actual, expected, rtol, atol);
    }

    /** As {@link #assertClose(String, double[], double[], double, double)}. */
    public static void assertClose(String what, float[] actual, float[] expected, double rtol, double atol) {
        assertClose(what, toDoubles(actual), toDoubles(expected), rtol, atol);
    }

    /** As {@link #assertClose(String, double[], double[], double, double)}. */
    public static void assertClose(String what, float[] actual, double[] expected, double rtol, double atol) {
        assertClose(what, toDoubles(actual), expected, rtol, atol);
    }

    /**
     * Every element satisfies {@code |actual - expected| <= atol + rtol * |expected|}; equal infinities pass, NaN fails, and so does
     * an infinity in one place only.
     *
     * @param what stands in front of the failure
     */
    public static void assertClose(String what, double[] actual, double[] expected, double rtol, double atol) {
        assertEquals(expected.length, actual.length, what + ": number of elements");
        int wrong = 0, worst = -1;
        double worstExcess = -1;
        for (int i = 0; i < actual.length; i++) {
            if (isClose(actual[i], expected[i], rtol, atol)) {
                continue;
            }
            wrong++;
            double diff = Math.abs(actual[i] - expected[i]);
            double excess = Double.isFinite(diff) ? diff - rtol * Math.abs(expected[i]) : Double.POSITIVE_INFINITY;
            if (excess > worstExcess) {
                worst = i;
                worstExcess = excess;
            }
        }
        if (wrong > 0) {
            fail(what + ": " + wrong + " of " + actual.length + " elements differ; worst at index " + worst + ": " + actual[worst]
                    + ", expected " + expected[worst] + " (rtol " + rtol + ", atol " + atol + ")");
        }
    }

    /** As {@link #assertClose(String, double[], double[], double, double)}, for one number. */
    public static void assertClose(String what, double actual, double expected, double rtol, double atol) {
        if (!isClose(actual, expected, rtol, atol)) {
            fail(what + ": " + actual + ", expected " + expected + " (rtol " + rtol + ", atol " + atol + ")");
        }
    }

    private static boolean isClose(double actual, double expected, double rtol, double atol) {
        if (Double.isInfinite(actual) || Double.isInfinite(expected)) {
            return actual == expected;
        }
        return Math.abs(actual - expected) <= atol + rtol * Math.abs(expected);      // false for NaN
    }

    private static double[] toDoubles(float[] values) {
        double[] doubles = new double[values.length];
        for (int i = 0; i < values.length; i++) {
            doubles[i] = values[i];
        }
        return doubles;
    }

    /** Every element has the bits of the expected one. */
    public static void assertSameBits(String what, float[] actual, float[] expected) {
        assertEquals(expected.length, actual.length, what + ": number of elements");
        for (int i = 0; i < actual.length; i++) {
            if (Float.floatToRawIntBits(actual[i]) != Float.floatToRawIntBits(expected[i])) {
                fail(what + ": element " + i + " is " + actual[i] + " (" + Float.toHexString(actual[i]) + "), it must have the bits of "
                        + expected[i] + " (" + Float.toHexString(expected[i]) + ")");
            }
        }
    }

    /** The action throws {@code type}, and its message contains every one of {@code parts}; the exception. */
    public static <T extends Throwable> T assertFails(Class<T> type, Executable action, String... parts) {
        T thrown = assertThrows(type, action);
        for (String part : parts) {
            assertTrue(String.valueOf(thrown.getMessage()).contains(part), "message \"" + thrown.getMessage() + "\" must contain \"" + part + "\"");
        }
        return thrown;
    }
}
