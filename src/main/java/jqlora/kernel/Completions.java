package jqlora.kernel;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import javax.lang.model.SourceVersion;
import jdk.jshell.SourceCodeAnalysis;
import jdk.jshell.SourceCodeAnalysis.Suggestion;
import org.dflib.jjava.jupyter.kernel.magic.MagicsRegistry;

/**
 * What could stand at a place of a cell.
 *
 * @param java     JShell's own suggestions
 * @param own      whether the notebook has declared a name; its own come before others
 * @param dataSets the folder whose subfolders {@code dataSet("...")} takes
 */
record Completions(SourceCodeAnalysis java, MagicsRegistry magics, Predicate<String> own, Path dataSets) {
    private static final int MOST = 300;
    private static final Pattern MAGIC = Pattern.compile("\\s*%%?\\w*");
    private static final Pattern STRING = Pattern.compile("(?:(\\w+)\\s*\\(\\s*(?:[^\"()]*,\\s*)?)?\"([^\"]*)$");

    /**
     * Names that fit, best first, and what each of them is.
     *
     * @param start from where to the cursor a name replaces what is there
     * @param kinds name to kind, in the words of Jupyter's front ends: function, class, instance, keyword, magic, path
     */
    record Found(int start, Map<String, String> kinds) { }

    /** What could stand at {@code at} of {@code cell}. */
    Found at(String cell, int at) {
        String line = cell.substring(cell.lastIndexOf('\n', at - 1) + 1, at);
        JavaScanner scanner = new JavaScanner(cell);
        scanner.scan(0, at);
        if (scanner.inString()) {
            Matcher string = STRING.matcher(line);
            return string.find() ? inString(String.valueOf(string.group(1)), string.group(2), at) : new Found(at, Map.of());
        }
        if (!scanner.inCode()) {
            return new Found(at, Map.of());
        }
        return MAGIC.matcher(line).matches() && !line.isBlank() ? magic(line.strip(), at) : code(CellSource.blanked(cell), at);
    }

    private Found magic(String typed, int at) {
        boolean wholeCell = typed.startsWith("%%");
        Stream<String> registered = (wholeCell ? magics.getCellMagicNames() : magics.getLineMagicNames()).stream();
        Map<String, String> kinds = new LinkedHashMap<>();
        Stream.concat(Stream.of("time"), registered).map(name -> (wholeCell ? "%%" : "%") + name).filter(name -> name.startsWith(typed)).distinct().sorted()
                .forEach(name -> kinds.put(name, "magic"));
        return new Found(at - typed.length(), kinds);
    }

    private Found code(String source, int at) {
        int[] start = {at};
        List<Suggestion> suggestions = new ArrayList<>(java.completionSuggestions(source, at, start));
        int wordStart = at;
        while (wordStart > 0 && Character.isJavaIdentifierPart(source.charAt(wordStart - 1))) {
            wordStart--;
        }
        boolean member = wordStart > 0 && source.charAt(wordStart - 1) == '.';
        List<String> ofCell = member ? List.of() : declaredBefore(source, wordStart, source.substring(wordStart, at));
        String word = source.substring(wordStart, at);
        Comparator<Suggestion> order = Comparator.<Suggestion>comparingInt(one -> one.matchesType() ? 0 : 1)
                .thenComparingInt(one -> own.test(nameOf(one.continuation())) ? 0 : 1);
        String before = source.substring(0, wordStart).stripTrailing();
        boolean statement = before.isEmpty() || "=(,;{}".indexOf(before.charAt(before.length() - 1)) >= 0;
        if (word.isEmpty() && !member && statement) {                          // nothing typed yet: types and keywords would only bury what is wanted
            suggestions.removeIf(one -> !own.test(nameOf(one.continuation())) && !Character.isLowerCase(one.continuation().charAt(0))
                    || SourceVersion.isKeyword(one.continuation().strip()));
        }
        Map<String, String> kinds = new LinkedHashMap<>();
        ofCell.forEach(name -> kinds.put(name, name.endsWith("(") ? "function" : Character.isUpperCase(name.charAt(0)) ? "class" : "instance"));
        suggestions.stream().filter(one -> !one.continuation().startsWith("$")).sorted(order).map(Suggestion::continuation).distinct().limit(MOST)
                .forEach(name -> kinds.putIfAbsent(name, kind(name, member)));
        return new Found(kinds.isEmpty() ? at : ofCell.isEmpty() ? start[0] : wordStart, kinds);
    }

    /** Names that the cell declares itself before the cursor, which JShell does not know yet. */
    private static List<String> declaredBefore(String source, int at, String prefix) {
        TopLevelNames names = TopLevelNames.of(source.substring(0, at));
        return Stream.of(names.variables().stream(), names.methods().stream().map(name -> name + "("), names.types().stream()).flatMap(one -> one)
                .filter(name -> name.startsWith(prefix) && !name.equals(prefix)).toList();
    }

    private String kind(String name, boolean member) {
        String bare = nameOf(name);
        if (name.contains("(")) {
            return "function";
        }
        return SourceVersion.isKeyword(bare) ? "keyword" : own.test(bare) || member || !Character.isUpperCase(bare.charAt(0)) ? "instance" : "class";
    }

    private static String nameOf(String continuation) {
        int end = 0;
        while (end < continuation.length() && Character.isJavaIdentifierPart(continuation.charAt(end))) {
            end++;
        }
        return continuation.substring(0, end);
    }

    // ---- in a string

    private Found inString(String method, String typed, int at) {
        if (method.equals("dataSet")) {
            return names(list(dataSets, folder -> Files.exists(folder.resolve("train.jsonl")), ""), typed, at, "path");
        }
        int slash = typed.lastIndexOf('/');
        try {
            Path folder = Path.of(typed.substring(0, slash + 1));
            return names(list(folder, path -> !path.getFileName().toString().startsWith("."), "/"), typed.substring(slash + 1), at, "path");
        } catch (InvalidPathException none) {
            return new Found(at, Map.of());
        }
    }

    private static Found names(List<String> names, String typed, int at, String kind) {
        Map<String, String> kinds = new LinkedHashMap<>();
        names.stream().filter(name -> name.startsWith(typed)).limit(MOST).forEach(name -> kinds.put(name, kind));
        return new Found(at - typed.length(), kinds);
    }

    /** What is in {@code folder}, folders with {@code ending}. */
    private static List<String> list(Path folder, Predicate<Path> wanted, String ending) {
        try (Stream<Path> children = Files.list(folder.toString().isEmpty() ? Path.of(".") : folder)) {
            return children.filter(wanted).sorted().map(path -> path.getFileName() + (Files.isDirectory(path) ? ending : "")).toList();
        } catch (IOException | SecurityException unreadable) {
            return List.of();
        }
    }
}
