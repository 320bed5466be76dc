package jqlora.format;

/** What a text has where a JSON parser stopped, if it is one of the mistakes that are often made. */
final class JsonMistake {
    private JsonMistake() { }

    /**
     * The end of an error message, such as {@code : a comma before "}" is one too many}; empty if the mistake is none of those known.
     *
     * @param line from 1, as the parser counts
     * @param column from 1; the parser stops at the mistake or a few characters behind it
     */
    static String of(String text, int line, int column) {
        int at = 0;
        for (int i = 1; i < line && text.indexOf('\n', at) >= 0; i++) {
            at = text.indexOf('\n', at) + 1;
        }
        at = Math.clamp(at + column - 1L, 0, text.length());
        String before = text.substring(0, at).stripTrailing(), rest = text.substring(at).stripLeading();
        if (rest.isEmpty() && !endsInValue(before)) {
            return ": the text ends here";
        }
        boolean passed = endsInValue(before);
        String closing = passed ? before.substring(before.length() - 1) : rest.substring(0, Math.min(1, rest.length()));
        String ahead = passed ? before.substring(0, before.length() - 1).stripTrailing() : before;
        if ("]}".contains(closing) && ahead.endsWith(",")) {
            return ": the comma before \"" + closing + "\" is one too many";
        }
        String word = word(text, at);
        return switch (word) {
            case "NaN", "Infinity", "-Infinity" -> ": " + word + " is no JSON number; write null, or a number";
            case "True", "False", "None" -> ": " + word + " is Python's; JSON has true, false and null";
            default -> at < text.length() && text.charAt(at) == '\'' || before.endsWith("'") ? ": strings and keys must stand in double"
                    + " quotes" : "";
        };
    }

    private static boolean endsInValue(String before) {
        return before.endsWith("}") || before.endsWith("]");
    }

    /** The run of letters, and a sign in front, that character {@code at} stands in or behind. */
    private static String word(String text, int at) {
        int from = at, to = at;
        while (from > 0 && isPart(text.charAt(from - 1))) {
            from--;
        }
        while (to < text.length() && isPart(text.charAt(to))) {
            to++;
        }
        return text.substring(from, to);
    }

    private static boolean isPart(char character) {
        return Character.isLetter(character) || character == '-';
    }
}
