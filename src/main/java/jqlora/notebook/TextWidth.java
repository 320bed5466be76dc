package jqlora.notebook;

import java.lang.Character.UnicodeScript;
import java.util.ArrayList;
import java.util.List;

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

    /** {@code text} in lines of at most {@code width} columns, broken at blanks where there are any; at least one line. */
    static List<String> lines(String text, int width) {
        List<String> lines = new ArrayList<>();
        StringBuilder line = new StringBuilder();
        int columns = 0, blank = -1;
        for (int i = 0; i < text.length(); ) {
            int codePoint = text.codePointAt(i);
            if (columns + columns(codePoint) > width) {
                String rest = blank > 0 ? line.substring(blank + 1) : "";
                lines.add(blank > 0 ? line.substring(0, blank) : line.toString());
                line = new StringBuilder(rest);
                columns = of(rest);
                blank = -1;
            }
            if (codePoint == ' ') {
                blank = line.length();
            }
            line.appendCodePoint(codePoint);
            columns += columns(codePoint);
            i += Character.charCount(codePoint);
        }
        lines.add(line.toString());
        return lines;
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
