package jqlora.format;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.MathContext;
import java.math.RoundingMode;

/** Numbers as Python's {@code json} reads and prints them: whole ones exactly, all others as the shortest decimal of the double. */
final class PythonNumber {
    /** Two digits decide whether the JDK's shortest decimal can be shorter still. */
    private static final MathContext ONE_DIGIT = new MathContext(1, RoundingMode.HALF_EVEN);

    private PythonNumber() { }

    /** What Python's parser makes of {@code number}: a Long or BigInteger if it has neither fraction nor exponent, else a Double. */
    static Number of(Number number) {
        return switch (number) {
            case Long whole -> whole;
            case Integer whole -> whole.longValue();
            case Short whole -> whole.longValue();
            case Byte whole -> whole.longValue();
            case BigInteger whole -> whole.bitLength() < Long.SIZE ? (Number) whole.longValue() : whole;
            case Double real -> real;
            case Float real -> real.doubleValue();
            default -> parse(number.toString());
        };
    }

    private static Number parse(String text) {
        boolean whole = text.chars().allMatch(c -> c == '-' || c >= '0' && c <= '9');
        return whole ? of(new BigInteger(text)) : Double.valueOf(text);
    }

    /**
     * As {@code json.dumps} prints it.
     *
     * @throws IllegalArgumentException for NaN and infinities, which JSON lacks
     */
    static String text(Number number) {
        Number value = of(number);
        if (!(value instanceof Double real)) {
            return value.toString();
        }
        if (real.isNaN() || real.isInfinite()) {
            throw new IllegalArgumentException("JSON number is " + real + ", it must be finite");
        }
        if (real == 0) {
            return 1 / real < 0 ? "-0.0" : "0.0";
        }
        return format(real < 0 ? "-" : "", shortest(Math.abs(real)));
    }

    /** Python allows one digit where {@link Double#toString} always gives two, of which the second may be superfluous: 5e-324. */
    private static BigDecimal shortest(double value) {
        BigDecimal decimal = new BigDecimal(Double.toString(value)).stripTrailingZeros();
        if (decimal.precision() == 2) {
            BigDecimal shorter = decimal.round(ONE_DIGIT);
            if (shorter.doubleValue() == value) {
                return shorter.stripTrailingZeros();
            }
        }
        return decimal;
    }

    /** Python's repr: plain from 1e-4 to below 1e16, else with an exponent of at least two digits. */
    private static String format(String sign, BigDecimal decimal) {
        String digits = decimal.unscaledValue().toString();
        int point = digits.length() - decimal.scale();                    // the decimal point stands after this many digits
        if (point > 16 || point < -3) {
            String fraction = digits.length() > 1 ? "." + digits.substring(1) : "";
            int exponent = point - 1;
            return sign + digits.charAt(0) + fraction + "e" + (exponent < 0 ? "-" : "+") + (Math.abs(exponent) < 10 ? "0" : "")
                    + Math.abs(exponent);
        }
        if (point <= 0) {
            return sign + "0." + "0".repeat(-point) + digits;
        }
        return digits.length() <= point ? sign + digits + "0".repeat(point - digits.length()) + ".0"
                : sign + digits.substring(0, point) + "." + digits.substring(point);
    }
}
