package jqlora.format;

import java.nio.file.Path;

/**
 * Reads the JSON of a safetensors header from left to right and accepts what the reference's parser accepts: RFC 8259, at most
 * 127 levels deep, no lone surrogates, no number beyond the range of a double.
 *
 * @see <a href="https://github.com/serde-rs/json/blob/v1.0.145/src/read.rs">serde_json, read.rs and de.rs</a>
 */
final class HeaderCursor {
    private static final int DEEPEST = 127;
    private static final String LARGEST_LONG = String.valueOf(Long.MAX_VALUE);
    private static final int LONG_DIGITS = LARGEST_LONG.length();
    /** So many digits without an exponent are within the range of a double. */
    private static final int SURELY_FINITE = 300;

    private final Path path;
    private final String text;
    private int at;
    private int depth;

    HeaderCursor(Path path, String text) {
        this.path = path;
        this.text = text;
    }

    /** A fault at the place reached. */
    SafetensorsException fault(String problem) {
        return new SafetensorsException(path, "header, character " + at + ": " + problem);
    }

    /** The next character that is not white space, not consumed; 0 at the end. */
    char peek() {
        while (at < text.length()) {
            char c = text.charAt(at);
            if (c != ' ' && c != '\n' && c != '\t' && c != '\r') {
                return c;
            }
            at++;
        }
        return 0;
    }

    /** Consumes {@code wanted}, which must come next. */
    void take(char wanted) throws SafetensorsException {
        if (peek() != wanted) {
            throw fault("found " + found() + ", it must be '" + wanted + "'");
        }
        at++;
    }

    /** Enters an object or array; false if it is empty and already left. */
    boolean enter(char open, char close) throws SafetensorsException {
        take(open);
        if (++depth > DEEPEST) {
            throw fault("nested more than " + DEEPEST + " levels deep");
        }
        if (peek() == close) {
            leave(close);
            return false;
        }
        return true;
    }

    /** After a member: true if another follows, false if {@code close} ends the object or array. */
    boolean more(char close) throws SafetensorsException {
        if (peek() == close) {
            leave(close);
            return false;
        }
        take(',');
        return true;
    }

    private void leave(char close) throws SafetensorsException {
        take(close);
        depth--;
    }

    /** The key of an object's next member, its colon consumed too. */
    String key() throws SafetensorsException {
        if (peek() != '"') {
            throw fault("found " + found() + ", a key must be a string");
        }
        String key = string();
        take(':');
        return key;
    }

    /** Checks that nothing but white space follows. */
    void end() throws SafetensorsException {
        peek();
        if (at < text.length()) {
            throw fault("found " + found() + " after the header's object, there must be nothing but spaces");
        }
    }

    /** What stands at the place reached, for an error message. */
    String found() {
        return at < text.length() ? Quoted.of(text.substring(at, Math.min(at + 12, text.length()))) : "the end";
    }

    String string() throws SafetensorsException {
        take('"');
        int start = at;
        StringBuilder unescaped = null;
        while (true) {
            if (at == text.length()) {
                throw fault("the header ends within a string");
            }
            char c = text.charAt(at++);
            if (c == '"') {
                return unescaped == null ? text.substring(start, at - 1) : unescaped.toString();
            }
            if (c < 0x20) {
                at--;
                throw fault("control character in a string, it must be escaped");
            }
            if (c == '\\') {
                if (unescaped == null) {
                    unescaped = new StringBuilder(text.substring(start, at - 1));
                }
                escape(unescaped);
            } else if (unescaped != null) {
                unescaped.append(c);
            }
        }
    }

    private void escape(StringBuilder out) throws SafetensorsException {
        char c = at < text.length() ? text.charAt(at++) : 0;
        switch (c) {
            case '"', '\\', '/' -> out.append(c);
            case 'b' -> out.append('\b');
            case 'f' -> out.append('\f');
            case 'n' -> out.append('\n');
            case 'r' -> out.append('\r');
            case 't' -> out.append('\t');
            case 'u' -> {
                char first = hex();
                out.append(first);
                if (Character.isSurrogate(first)) {
                    if (!text.startsWith("\\u", at)) {
                        throw fault("lone surrogate escape in a string");
                    }
                    at += 2;
                    char second = hex();
                    if (!Character.isSurrogatePair(first, second)) {
                        throw fault("lone surrogate escape in a string");
                    }
                    out.append(second);
                }
            }
            default -> throw fault("unknown escape in a string, it must be one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u");
        }
    }

    private char hex() throws SafetensorsException {
        int value = 0;
        for (int i = 0; i < 4; i++) {
            char c = at < text.length() ? text.charAt(at) : 0;
            int digit = c < 0x80 ? Character.digit(c, 16) : -1;
            if (digit < 0) {
                throw fault("found " + found() + ", \\u must be followed by four hexadecimal digits");
            }
            value = value << 4 | digit;
            at++;
        }
        return (char) value;
    }

    /** A whole number from 0 to 2^63 - 1, written without sign, fraction or exponent. */
    long whole(String what) throws SafetensorsException {
        char first = peek();
        int start = at;
        String number = first == '-' || isDigit(first) ? number() : "";
        boolean digitsAlone = isDigit(first) && number.indexOf('.') < 0 && number.indexOf('e') < 0 && number.indexOf('E') < 0;
        if (digitsAlone && (number.length() < LONG_DIGITS || number.length() == LONG_DIGITS && number.compareTo(LARGEST_LONG) <= 0)) {
            return Long.parseLong(number);
        }
        at = start;
        throw fault(what + " is " + found() + ", it must be a whole number from 0 to 2^63 - 1");
    }

    private String number() throws SafetensorsException {
        int start = at;
        if (peekRaw() == '-') {
            at++;
        }
        if (peekRaw() == '0') {
            at++;
            if (isDigit(peekRaw())) {
                throw fault("a number must not begin with 0");
            }
        } else {
            digits();
        }
        if (peekRaw() == '.') {
            at++;
            digits();
        }
        boolean exponent = peekRaw() == 'e' || peekRaw() == 'E';
        if (exponent) {
            at++;
            if (peekRaw() == '+' || peekRaw() == '-') {
                at++;
            }
            digits();
        }
        String number = text.substring(start, at);
        if ((exponent || number.length() > SURELY_FINITE) && Double.isInfinite(Double.parseDouble(number))) {
            at = start;
            throw fault("number " + found() + " is beyond the range of a double");
        }
        return number;
    }

    private void digits() throws SafetensorsException {
        if (!isDigit(peekRaw())) {
            throw fault("found " + found() + ", it must be a digit");
        }
        while (isDigit(peekRaw())) {
            at++;
        }
    }

    private char peekRaw() {
        return at < text.length() ? text.charAt(at) : 0;
    }

    private static boolean isDigit(char c) {
        return c >= '0' && c <= '9';
    }

    /** Consumes {@code null}. */
    void nothing() throws SafetensorsException {
        literal("null");
    }

    private void literal(String word) throws SafetensorsException {
        if (!text.startsWith(word, at)) {
            throw fault("found " + found() + ", it must be a JSON value");
        }
        at += word.length();
    }

    /** Consumes a value of any kind. */
    void skip() throws SafetensorsException {
        char c = peek();
        switch (c) {
            case '"' -> string();
            case '{' -> {
                for (boolean more = enter('{', '}'); more; more = more('}')) {
                    key();
                    skip();
                }
            }
            case '[' -> {
                for (boolean more = enter('[', ']'); more; more = more(']')) {
                    skip();
                }
            }
            case 't' -> literal("true");
            case 'f' -> literal("false");
            case 'n' -> literal("null");
            default -> {
                if (c != '-' && !isDigit(c)) {
                    throw fault("found " + found() + ", it must be a JSON value");
                }
                number();
            }
        }
    }
}
