package jqlora.kernel;

/** Reads Java source just far enough to know whether a statement could begin at the point reached. */
final class JavaScanner {
    private enum Within { CODE, LINE_COMMENT, BLOCK_COMMENT, STRING, CHARACTER, TEXT_BLOCK }

    private final String source;
    private Within within = Within.CODE;
    private int depth;                                            // of (), [] and {} that are open
    private char lastOfCode = ';';                                // the last character that is neither blank nor comment

    JavaScanner(String source) {
        this.source = source;
    }

    /** Index of the first character of {@code source} that is neither blank nor in a comment; its length where there is none. */
    static int firstCode(String source) {
        JavaScanner scanner = new JavaScanner(source);
        for (int at = 0; at < source.length(); ) {
            boolean comment = source.startsWith("//", at) || source.startsWith("/*", at);
            if (scanner.within == Within.CODE && !comment && !Character.isWhitespace(source.charAt(at))) {
                return at;
            }
            at += scanner.step(at);
        }
        return source.length();
    }

    /** Whether what has been read ends between two statements, outside of every bracket, comment and literal. */
    boolean betweenStatements() {
        return within == Within.CODE && depth == 0 && (lastOfCode == ';' || lastOfCode == '}');
    }

    /** Whether the last character of code is a closing brace, behind which an expression may go on. */
    boolean afterBrace() {
        return lastOfCode == '}';
    }

    /** How many brackets are open. */
    int depth() {
        return depth;
    }

    /** Whether the code of {@code source} ends with a semicolon. */
    static boolean endsWithSemicolon(String source) {
        JavaScanner scanner = new JavaScanner(source);
        scanner.lastOfCode = ' ';
        scanner.scan(0, source.length());
        return scanner.lastOfCode == ';';
    }

    /** Index of the first bracket of {@code source} that is nested deeper than {@code most}; its length where there is none. */
    static int tooDeep(String source, int most) {
        JavaScanner scanner = new JavaScanner(source);
        int at = 0;
        while (at < source.length() && scanner.depth <= most) {
            at += scanner.step(at);
        }
        return Math.min(at, source.length());
    }

    /** Whether what comes next is outside of comments and literals. */
    boolean inCode() {
        return within == Within.CODE;
    }

    /** Whether what comes next is within a string in double quotes. */
    boolean inString() {
        return within == Within.STRING;
    }

    /**
     * Reads on: the characters {@code from} to {@code to}, which must follow those read before.
     *
     * @return the index up to which it has read, which is more than {@code to} where a sign of several characters begins before
     */
    int scan(int from, int to) {
        int at = from;
        while (at < to) {
            at += step(at);
        }
        return at;
    }

    /** Reads what is at {@code at} and returns its length. */
    private int step(int at) {
        return switch (within) {
            case CODE -> code(at);
            case LINE_COMMENT -> leave(source.charAt(at) == '\n', 1);
            case BLOCK_COMMENT -> leave(source.startsWith("*/", at), 2);
            case STRING -> literal(at, '"');
            case CHARACTER -> literal(at, '\'');
            case TEXT_BLOCK -> source.charAt(at) == '\\' ? 2 : leave(source.startsWith("\"\"\"", at), 3);
        };
    }

    private int code(int at) {
        char c = source.charAt(at);
        if (source.startsWith("//", at)) {
            return enter(Within.LINE_COMMENT, 2);
        }
        if (source.startsWith("/*", at)) {
            return enter(Within.BLOCK_COMMENT, 2);
        }
        if (!Character.isWhitespace(c)) {
            lastOfCode = c;
        }
        return switch (c) {
            case '(', '[', '{' -> deeper(1);
            case ')', ']', '}' -> deeper(-1);
            case '"' -> source.startsWith("\"\"\"", at) ? enter(Within.TEXT_BLOCK, 3) : enter(Within.STRING, 1);
            case '\'' -> enter(Within.CHARACTER, 1);
            default -> 1;
        };
    }

    private int deeper(int by) {
        depth = Math.max(0, depth + by);
        return 1;
    }

    /** A string or character ends at its quote, and at the end of the line, where javac will complain. */
    private int literal(int at, char quote) {
        char c = source.charAt(at);
        return c == '\\' ? 2 : leave(c == quote || c == '\n', 1);
    }

    private int enter(Within next, int length) {
        within = next;
        return length;
    }

    private int leave(boolean end, int length) {
        if (end) {
            within = Within.CODE;
            return length;
        }
        return 1;
    }
}
