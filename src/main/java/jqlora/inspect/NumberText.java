package jqlora.inspect;

import java.math.BigDecimal;
import java.math.RoundingMode;
import java.text.DecimalFormat;
import java.text.DecimalFormatSymbols;
import java.util.Arrays;
import java.util.Locale;

/**
 * How the numbers of one column, or of one axis, are written: all with as many decimals, so that they stand at the point when they stand to the right, or all
 * with an exponent. Thousands are grouped where a number has five digits before the point.
 *
 * @param decimals behind the point; of the mantissa where there is an exponent
 * @param exponentDigits digits of the exponent; 0 for none
 * @param grouped whether thousands are grouped
 */
public record NumberText(int decimals, int exponentDigits, boolean grouped) {
    private static final DecimalFormatSymbols SYMBOLS = DecimalFormatSymbols.getInstance(Locale.ROOT);
    private static final int SIGNIFICANT = 4, MOST_DIGITS = 9;
    private static final double FIRST_GROUPED = 10_000, LEAST_WITHOUT_EXPONENT = 1e-3, MOST_WITHOUT_EXPONENT = 1e15;

    /**
     * The format of a column: four significant digits for its middle number, fewer where nothing but zeros would follow, and more where a number would be
     * shown as zero that is none. With an exponent where the greatest is below a thousandth, or the numbers lie too far from each other.
     */
    public static NumberText ofColumn(double... numbers) {
        double[] sizes = Arrays.stream(numbers).filter(number -> Double.isFinite(number) && number != 0).map(Math::abs).sorted().toArray();
        if (sizes.length == 0) {
            return new NumberText(0, 0, false);
        }
        double least = sizes[0], middle = sizes[(sizes.length - 1) / 2], most = sizes[sizes.length - 1];
        boolean whole = Arrays.stream(sizes).allMatch(size -> size == Math.rint(size)) && most < MOST_WITHOUT_EXPONENT;
        int decimals = whole ? 0 : Math.max(0, SIGNIFICANT - 1 - exponent(middle));
        while (least < 0.5 * Math.pow(10, -decimals) && decimals < MOST_DIGITS) {
            decimals++;
        }
        if (most < LEAST_WITHOUT_EXPONENT || most >= MOST_WITHOUT_EXPONENT || exponent(most) + 1 + decimals > MOST_DIGITS && !whole && decimals > 0) {
            int widest = Math.max(Math.abs(exponent(least)), Math.abs(exponent(most))) >= 100 ? 3 : 2;
            return new NumberText(SIGNIFICANT - 2, widest, false).withoutCommonZeros(numbers);
        }
        return new NumberText(decimals, 0, most >= FIRST_GROUPED).withoutCommonZeros(numbers);
    }

    /** The format of a column of shares, given in percent: two significant digits for its middle number, at most three decimals. */
    public static NumberText ofShares(double... percents) {
        double[] sizes = Arrays.stream(percents).filter(number -> Double.isFinite(number) && number != 0).map(Math::abs).sorted().toArray();
        double middle = sizes.length == 0 ? 1 : sizes[(sizes.length - 1) / 2];
        int decimals = Math.clamp(1 - exponent(middle), 1, 3);
        return new NumberText(decimals, 0, sizes.length > 0 && sizes[sizes.length - 1] >= FIRST_GROUPED).withoutCommonZeros(percents);
    }

    /** The format of an axis whose labels stand at {@code ticks}: as many decimals as tell them apart. */
    public static NumberText ofTicks(double... ticks) {
        double most = Arrays.stream(ticks).map(Math::abs).max().orElse(0);
        boolean small = most > 0 && most < LEAST_WITHOUT_EXPONENT, large = most >= 1e9;
        NumberText finest = small || large ? new NumberText(SIGNIFICANT, 2, false) : new NumberText(MOST_DIGITS, 0, most >= FIRST_GROUPED);
        return finest.withoutCommonZeros(ticks);
    }

    /** A number by itself: at most {@code significant} significant digits, no zeros at the end. */
    public static String alone(double number, int significant) {
        if (!Double.isFinite(number) || number == 0) {
            return new NumberText(0, 0, false).of(number);
        }
        double size = Math.abs(number);
        boolean exponent = size < LEAST_WITHOUT_EXPONENT / 10 || size >= MOST_WITHOUT_EXPONENT;
        NumberText text = exponent ? new NumberText(significant - 1, 2, false)
                : new NumberText(Math.max(0, significant - 1 - exponent(size)), 0, size >= FIRST_GROUPED);
        return text.withoutCommonZeros(number).of(number);
    }

    private NumberText withoutCommonZeros(double... numbers) {
        NumberText text = this;
        while (text.decimals > 0) {
            NumberText now = text;
            if (!Arrays.stream(numbers).filter(Double::isFinite).allMatch(number -> now.endsWithZero(number))) {
                break;
            }
            text = new NumberText(text.decimals - 1, text.exponentDigits, text.grouped);
        }
        return text;
    }

    private boolean endsWithZero(double number) {
        String written = of(number);
        int end = exponentDigits == 0 ? written.length() : written.indexOf('e');
        return written.charAt(end - 1) == '0';
    }

    private static int exponent(double size) {
        return (int) Math.floor(Math.log10(size));
    }

    /** {@code number} in this format; empty for NaN, as a table's missing value. */
    public String of(double number) {
        if (Double.isNaN(number)) {
            return "";
        }
        if (Double.isInfinite(number)) {
            return number > 0 ? "inf" : "-inf";
        }
        if (exponentDigits > 0) {
            return withExponent(number);
        }
        String written = pattern(grouped).format(new BigDecimal(number).setScale(decimals, RoundingMode.HALF_EVEN));
        return isZero(written) && written.startsWith("-") ? written.substring(1) : written;
    }

    private String withExponent(double number) {
        if (number == 0) {
            return String.format(Locale.ROOT, "%." + decimals + "fe+" + "0".repeat(exponentDigits), 0.0);
        }
        String written = String.format(Locale.ROOT, "%." + decimals + "e", number);
        int e = written.indexOf('e');
        String digits = written.substring(e + 2);
        return written.substring(0, e + 2) + "0".repeat(Math.max(0, exponentDigits - digits.length())) + digits;
    }

    private DecimalFormat pattern(boolean groups) {
        return new DecimalFormat((groups ? "#,##0" : "0") + (decimals == 0 ? "" : "." + "0".repeat(decimals)), SYMBOLS);
    }

    private static boolean isZero(String written) {
        return written.chars().allMatch(c -> c == '-' || c == '0' || c == '.');
    }
}
