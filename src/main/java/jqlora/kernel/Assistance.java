package jqlora.kernel;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import jdk.jshell.SourceCodeAnalysis;
import jdk.jshell.SourceCodeAnalysis.Completeness;
import jdk.jshell.SourceCodeAnalysis.CompletionInfo;
import jdk.jshell.SourceCodeAnalysis.Documentation;
import org.dflib.jjava.jupyter.kernel.BaseKernel;
import org.dflib.jjava.jupyter.kernel.display.DisplayData;

/** What an editor asks while a cell is written, besides {@link Completions}: documentation, and whether the cell is complete. */
record Assistance(SourceCodeAnalysis java, LibraryDocs library) {
    private static final String INDENT = "    ";
    private static final Pattern QUESTION = Pattern.compile("\\?\\s*(NAME)|(NAME)\\s*\\?"
            .replace("NAME", "\\p{javaJavaIdentifierStart}[\\p{javaJavaIdentifierPart}.]*"));
    /** A record as JShell names it before one of its methods: with all its components. */
    private static final Pattern RECORD_HEADER = Pattern.compile("\\b(\\w+)\\([^()]*\\)\\.(?=\\w+\\()");
    /** Code in a Javadoc, whose own braces and indentation stay. */
    private static final Pattern EXAMPLE = Pattern.compile("<pre>\\{@code[ \\t]*\\n(.*?)}</pre>", Pattern.DOTALL);

    /** The name that a cell asks about which is nothing but {@code name?} or {@code ?name}; neither is Java. */
    static Optional<String> question(String cell) {
        Matcher asked = QUESTION.matcher(cell.strip());
        return asked.matches() ? Optional.of(asked.group(1) != null ? asked.group(1) : asked.group(2)) : Optional.empty();
    }

    /** What a cell shows that asks about {@code name}: a type or a variable, or else all methods of this name; null where there is none. */
    DisplayData help(String name) {
        DisplayData found = inspect(name, name.length());
        return found != null ? found : inspect(name + "(", name.length());
    }

    /** Signatures and documentation of what stands at {@code at}, or its type; null where there is neither. */
    DisplayData inspect(String cell, int at) {
        String source = CellSource.blanked(cell);
        int start = at;
        int end = at;
        while (start > 0 && Character.isJavaIdentifierPart(source.charAt(start - 1))) {
            start--;
        }
        while (end < source.length() && Character.isJavaIdentifierPart(source.charAt(end))) {
            end++;
        }
        boolean call = end < source.length() && source.charAt(end) == '(';
        List<Documentation> found = java.documentation(source, call ? end + 1 : at, true);
        DisplayData shown = new DisplayData();
        List<String> text = new ArrayList<>();
        for (Documentation one : found) {
            String signature = RECORD_HEADER.matcher(one.signature()).replaceAll("$1.");
            String prose = Optional.ofNullable(one.javadoc()).or(() -> library.ofMember(signature)).map(Assistance::plain).orElse("");
            text.add(prose.isEmpty() ? signature : signature + "\n\n" + prose.indent(2).stripTrailing());
        }
        String word = source.substring(start, end);
        if (text.isEmpty()) {
            library.ofType(word).map(Assistance::plain).ifPresent(prose -> text.add(word + "\n\n" + prose.indent(2).stripTrailing()));
        }
        if (text.isEmpty()) {
            Optional.ofNullable(java.analyzeType(source, end)).ifPresent(text::add);
        }
        if (text.isEmpty()) {
            return null;
        }
        shown.putText(String.join("\n\n", text));
        return shown;
    }

    /** Whether {@code cell} could run as it stands; if not, how to indent its next line. */
    String isComplete(String cell) {
        if (question(cell).isPresent()) {
            return BaseKernel.IS_COMPLETE_YES;
        }
        String source = CellSource.blanked(cell);
        CompletionInfo unit = java.analyzeCompletion(source);
        while (unit.completeness() == Completeness.COMPLETE && !unit.remaining().isBlank()) {
            unit = java.analyzeCompletion(unit.remaining());
        }
        return switch (unit.completeness()) {
            case COMPLETE, COMPLETE_WITH_SEMI, EMPTY, CONSIDERED_INCOMPLETE -> BaseKernel.IS_COMPLETE_YES;
            case UNKNOWN -> BaseKernel.IS_COMPLETE_BAD;
            case DEFINITELY_INCOMPLETE -> INDENT.repeat(Math.max(0, openBraces(source)));
        };
    }

    private static int openBraces(String source) {
        JavaScanner scanner = new JavaScanner(source);
        scanner.scan(0, source.length());
        return scanner.depth();
    }

    /** A documentation comment as text: block tags kept, HTML tags and inline tags replaced by what they mark. */
    static String plain(String javadoc) {
        StringBuilder plain = new StringBuilder();
        int at = 0;
        for (Matcher example = EXAMPLE.matcher(javadoc); example.find(); at = example.end()) {
            plain.append(prose(javadoc.substring(at, example.start()))).append("\n\n").append(example.group(1).stripTrailing().indent(2)).append('\n');
        }
        return plain.append(prose(javadoc.substring(at))).toString().strip();
    }

    private static String prose(String javadoc) {
        return javadoc.replaceAll("(?s)\\{@\\w+\\s+([^{}]*)}", "$1").replaceAll("(?i)<li>", "- ").replaceAll("<[^>]+>", "")
                .replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", " ").replace("&amp;", "&")
                .replaceAll("(?m)^[ \\t]+", "").replaceAll("\\n{3,}", "\n\n").strip();
    }
}
