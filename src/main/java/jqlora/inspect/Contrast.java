package jqlora.inspect;

import java.awt.Color;

/**
 * How well a colour stands out against another.
 *
 * @see <a href="https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio">WCAG 2.2, contrast ratio and relative luminance</a>
 */
public final class Contrast {
    private static final Color LIGHT_TEXT = Color.WHITE, DARK_TEXT = Color.BLACK;

    private Contrast() { }

    /** From 1, the same colour, to 21, black on white. */
    public static double ratio(Color one, Color other) {
        double a = luminance(one), b = luminance(other);
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    }

    /** From 0, black, to 1, white. */
    public static double luminance(Color color) {
        return 0.2126 * linear(color.getRed()) + 0.7152 * linear(color.getGreen()) + 0.0722 * linear(color.getBlue());
    }

    private static double linear(int channel) {
        double share = channel / 255.0;
        return share <= 0.04045 ? share / 12.92 : Math.pow((share + 0.055) / 1.055, 2.4);
    }

    /** White or black, whichever is easier to read on {@code background}: at least 4.5:1 on any. */
    public static Color textOn(Color background) {
        return ratio(LIGHT_TEXT, background) > ratio(DARK_TEXT, background) ? LIGHT_TEXT : DARK_TEXT;
    }

    /** The colour at {@code share} of the way through {@code range}, from 0 to 1. */
    static Color between(Color[] range, double share) {
        double place = Math.clamp(share, 0, 1) * (range.length - 1);
        int from = (int) Math.min(place, Math.max(0, range.length - 2)), to = Math.min(range.length - 1, from + 1);
        double part = place - from;
        return new Color(mixed(range[from].getRed(), range[to].getRed(), part), mixed(range[from].getGreen(), range[to].getGreen(), part),
                mixed(range[from].getBlue(), range[to].getBlue(), part));
    }

    private static int mixed(int from, int to, double part) {
        return (int) Math.clamp(Math.round(from + part * (to - from)), 0, 255);
    }
}
