package jqlora.notebook;

import java.math.BigDecimal;
import java.math.MathContext;
import java.util.Locale;

/** Numbers as short as a reader needs them. */
final class ShortNumber {
    private static final MathContext DIGITS = new MathContext(6);

    private ShortNumber() { }

    /** Six significant digits without trailing zeros: 0.1, 12.3457, 1.5E-7; NaN is an empty string, as in a table's missing value. */
    static String of(double number) {
        if (Double.isNaN(number)) {
            return "";
        }
        if (Double.isInfinite(number)) {
            return number > 0 ? "inf" : "-inf";
        }
        double magnitude = Math.abs(number);
        BigDecimal rounded = new BigDecimal(number).round(DIGITS).stripTrailingZeros();
        if (magnitude != 0 && (magnitude < 1e-4 || magnitude >= 1e12)) {
            return rounded.toString();
        }
        return magnitude >= 1e6 ? String.format(Locale.ROOT, "%.0f", number) : rounded.toPlainString();
    }

    /** A duration in seconds as 8.1 s, 2:05 or 1:02:03. */
    static String seconds(double seconds) {
        if (seconds < 10) {
            return String.format(Locale.ROOT, "%.1f s", seconds);
        }
        long whole = Math.round(seconds);
        return whole < 60 ? whole + " s"
                : whole < 3600 ? String.format(Locale.ROOT, "%d:%02d", whole / 60, whole % 60)
                : String.format(Locale.ROOT, "%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60);
    }
}
