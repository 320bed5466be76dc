package jqlora;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import org.junit.jupiter.api.function.Executable;

/** Comparisons that every test uses. */
public final class Assert {
    private Assert() { }

    /**
     * Every element satisfies {@code |actual - expected| <= atol + rtol * |expected|}; equal infinities pass, NaN fails.
     *
     * @param what stands in front of the failure
     */
    public static void assertClose(String what, float[] actual, float[] expected, double rtol, double atol) {
        assertEquals(expected.length, actual.length, what + ": number of elements");
        int wrong = 0, worst = -1;
        double worstExcess = -1;
        for (int i = 0; i < actual.length; i++) {
            double diff = actual[i] == expected[i] ? 0 : Math.abs((double) actual[i] - expected[i]);
            double tolerance = atol + rtol * Math.abs((double) expected[i]);
            if (!(diff <= tolerance)) {
                wrong++;
                double excess = Double.isNaN(diff) ? Double.POSITIVE_INFINITY : diff - tolerance;
                if (excess > worstExcess) {
                    worst = i;
                    worstExcess = excess;
                }
            }
        }
        if (wrong > 0) {
            fail(what + ": " + wrong + " of " + actual.length + " elements differ; worst at index " + worst + ": " + actual[worst]
                    + ", expected " + expected[worst] + " (rtol " + rtol + ", atol " + atol + ")");
        }
    }

    /** As {@link #assertClose(String, float[], float[], double, double)}, for one number. */
    public static void assertClose(String what, double actual, double expected, double rtol, double atol) {
        double diff = actual == expected ? 0 : Math.abs(actual - expected);
        if (!(diff <= atol + rtol * Math.abs(expected))) {
            fail(what + ": " + actual + ", expected " + expected + " (rtol " + rtol + ", atol " + atol + ")");
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
