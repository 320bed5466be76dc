package jqlora.notebook;

import java.util.Locale;
import jqlora.inspect.NumberText;

/** Numbers as short as a reader needs them. */
public final class ShortNumber {
    private static final int DIGITS = 6;

    private ShortNumber() { }

    /** At most six significant digits, no zeros at the end: 0.1, 12.3457, 1.5e-07; NaN is an empty string, as in a table's missing value. */
    static String of(double number) {
        return NumberText.alone(number, DIGITS);
    }

    /** Bytes as 134 MB or 8.0 GB, in powers of ten. */
    public static String bytes(long bytes) {
        return bytes >= 9_950_000_000L ? String.format(Locale.ROOT, "%.1f GB", bytes / 1e9)
                : bytes >= 1_000_000_000L ? String.format(Locale.ROOT, "%.2f GB", bytes / 1e9)
                : bytes >= 9_950_000 ? String.format(Locale.ROOT, "%.0f MB", bytes / 1e6)
                : bytes >= 100_000 ? String.format(Locale.ROOT, "%.1f MB", bytes / 1e6)
                : bytes >= 1_000 ? String.format(Locale.ROOT, "%.1f kB", bytes / 1e3) : bytes + " B";
    }

    /** A whole number with its thousands grouped. */
    static String grouped(long number) {
        return new NumberText(0, 0, true).of(number);
    }

    /** A duration in seconds as 8.1 s, 2:05 or 1:02:03. */
    public static String seconds(double seconds) {
        if (seconds < 10) {
            return String.format(Locale.ROOT, "%.1f s", seconds);
        }
        long whole = Math.round(seconds);
        return whole < 60 ? whole + " s"
                : whole < 3600 ? String.format(Locale.ROOT, "%d:%02d", whole / 60, whole % 60)
                : String.format(Locale.ROOT, "%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60);
    }
}
