package jqlora.kernel;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * What a stretch of Java declares outside of every bracket, and every name that it mentions, by its words alone: nothing is
 * compiled, so it is known before the first statement runs.
 *
 * @param types     simple names of classes, interfaces, enums, records and annotations
 * @param methods   names of methods
 * @param variables names of variables
 * @param mentioned every identifier outside of comments and literals
 */
record TopLevelNames(Set<String> types, Set<String> methods, Set<String> variables, Set<String> mentioned) {
    private static final Set<String> TYPE_WORDS = Set.of("class", "interface", "enum", "record");
    private static final Set<String> NO_TYPE = Set.of("return", "throw", "new", "else", "import", "package", "static", "case", "yield", "assert", "instanceof");

    /** Reads {@code code}. */
    static TopLevelNames of(String code) {
        Set<String> mentioned = new LinkedHashSet<>();
        List<String> words = words(code, mentioned);
        TopLevelNames names = new TopLevelNames(new LinkedHashSet<>(), new LinkedHashSet<>(), new LinkedHashSet<>(), mentioned);
        for (int i = 0; i + 1 < words.size(); i++) {
            names.read(words, i);
        }
        return names;
    }

    private void read(List<String> words, int i) {
        String word = words.get(i);
        String next = words.get(i + 1);
        String afterNext = i + 2 < words.size() ? words.get(i + 2) : ";";
        boolean header = !word.equals("record") || afterNext.equals("(") || afterNext.equals("<");
        if (TYPE_WORDS.contains(word) && header && isName(next)) {
            types.add(next);
        } else if (isName(next) && (isName(word) && !NO_TYPE.contains(word) && !TYPE_WORDS.contains(word) || word.equals(">") || word.equals("["))) {
            boolean parameters = afterNext.equals("(");
            String last = i + 3 < words.size() ? words.get(i + 3) : ";";
            if (parameters && (last.equals("{") || last.equals("throws"))) {
                methods.add(next);
            } else if (!parameters && ("=;,".contains(afterNext) || afterNext.equals("["))) {
                variables.add(next);
            }
        }
    }

    private static boolean isName(String word) {
        return Character.isJavaIdentifierStart(word.charAt(0));
    }

    /** Names and signs at depth 0, a bracket with all that is in it as its opening sign. */
    private static List<String> words(String code, Set<String> mentioned) {
        List<String> words = new ArrayList<>();
        JavaScanner scanner = new JavaScanner(code);
        int at = 0;
        while (at < code.length()) {
            int depth = scanner.depth();
            int end = at + 1;
            boolean inCode = scanner.inCode() && !code.startsWith("//", at) && !code.startsWith("/*", at);
            if (inCode && Character.isJavaIdentifierStart(code.charAt(at))) {
                while (end < code.length() && Character.isJavaIdentifierPart(code.charAt(end))) {
                    end++;
                }
                mentioned.add(code.substring(at, end));
            }
            if (inCode && depth == 0 && !Character.isWhitespace(code.charAt(at)) && ")]}".indexOf(code.charAt(at)) < 0) {
                words.add(code.substring(at, end));
            }
            at = scanner.scan(at, end);
        }
        return words;
    }
}
