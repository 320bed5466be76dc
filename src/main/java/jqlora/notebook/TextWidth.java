package jqlora.notebook;

import java.lang.Character.UnicodeScript;

/** Columns of text in a font of fixed width, where a Chinese, Japanese or Korean character takes two. */
final class TextWidth {
    private TextWidth() { }

    /** How many columns {@code text} takes. */
    static int of(String text) {
        return text.codePoints().map(TextWidth::columns).sum();
    }

    /** Appends {@code text} padded to {@code width} columns. */
    static void append(StringBuilder line, String text, int width, boolean toTheRight) {
        String padding = " ".repeat(Math.max(0, width - of(text)));
        line.append(toTheRight ? padding + text : text + padding);
    }

    private static int columns(int codePoint) {
        if (codePoint < 0x1100) {
            return 1;
        }
        UnicodeScript script = UnicodeScript.of(codePoint);
        boolean wide = script == UnicodeScript.HAN || script == UnicodeScript.HIRAGANA || script == UnicodeScript.KATAKANA
                || script == UnicodeScript.HANGUL || codePoint >= 0x3000 && codePoint <= 0x303F || codePoint >= 0xFF01 && codePoint <= 0xFF60;
        return wide ? 2 : 1;
    }
}
