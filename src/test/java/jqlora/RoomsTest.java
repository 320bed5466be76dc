package jqlora;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.source.tree.CompilationUnitTree;
import com.sun.source.tree.MethodTree;
import com.sun.source.util.JavacTask;
import com.sun.source.util.SourcePositions;
import com.sun.source.util.TreeScanner;
import com.sun.source.util.Trees;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import javax.tools.JavaCompiler;
import javax.tools.StandardJavaFileManager;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;

/** Who may use what: a room uses lower rooms only, and each outside library has its rooms. Full names within the code count, comments do not. */
class RoomsTest {
    private static final Path MAIN = Path.of("src/main/java"), TESTS = Path.of("src/test/java");
    private static final int LONGEST_FILE = 500, LONGEST_METHOD = 60, LONGEST_LINE = 140;

    /** Files that still have longer lines, one name a line; it only ever gets shorter. */
    private static final Path LONG_LINES = Path.of("src/test/resources/rooms/long-lines.txt");

    /** From the lowest to the highest; {@code *} for all rooms above it in this list. */
    private static final Map<String, Set<String>> ALLOWED = new LinkedHashMap<>();

    static {
        allow("tensor");
        allow("quant", "tensor");
        allow("format", "tensor", "quant");
        allow("ops", "tensor", "quant");
        allow("model", "tensor", "quant", "ops", "format");
        allow("lora", "tensor", "quant", "ops", "format", "model");
        allow("data", "format");
        allow("generate", "*");
        allow("train", "tensor", "format", "ops", "model", "lora", "data");
        allow("evaluate", "*");
        allow("inspect", "*");
        allow("experiment", "*");
        allow("device", "ops");
        allow("notebook", "*");
        allow("kernel", "*");
        allow("cli", "*");
    }

    private static void allow(String room, String... rooms) {
        ALLOWED.put(room, rooms.length == 1 && rooms[0].equals("*") ? new TreeSet<>(ALLOWED.keySet()) : Set.of(rooms));
    }

    /** Packages that begin so may be used in these of ours, and what lies below them, only. */
    private static final Map<String, Set<String>> OUTSIDE = Map.ofEntries(
            Map.entry("jdk.incubator.vector", Set.of("jqlora.quant", "jqlora.ops.cpu")),
            Map.entry("ai.djl.huggingface", Set.of("jqlora.data")),
            Map.entry("ai.djl", Set.of("jqlora.ops.cpu", "jqlora.data", "jqlora.notebook")),
            Map.entry("org.bytedeco", Set.of("jqlora.ops.cuda")),
            Map.entry("com.google.gson", Set.of("jqlora.format")),
            Map.entry("tech.tablesaw", Set.of("jqlora.inspect", "jqlora.experiment", "jqlora.notebook")),
            Map.entry("org.knowm.xchart", Set.of("jqlora.inspect", "jqlora.experiment", "jqlora.notebook")),
            Map.entry("org.apache.spark", Set.of("jqlora.experiment")),
            Map.entry("org.dflib.jjava", Set.of("jqlora.notebook", "jqlora.kernel")),
            Map.entry("org.snakeyaml.engine", Set.of("jqlora.cli")),
            Map.entry("picocli", Set.of("jqlora.cli")));

    private static final Pattern OURS = Pattern.compile("\\bjqlora\\.([a-z]+)\\b");
    private static final Pattern PACKAGE = Pattern.compile("(?m)^package ([\\w.]+);");
    private static final Pattern COMMENT_OR_TEXT = Pattern.compile("(?s)/\\*.*?\\*/|//[^\n]*|\"\"\".*?\"\"\"|\"(?:\\\\.|[^\"\\\\\n])*\"");

    private static final Pattern LINK = Pattern.compile("\\{@link (jqlora\\.[\\w.]*\\.[A-Z]\\w*)");
    private static final Pattern MAY_IMPORT = Pattern.compile("(?s)<p>May import: ([^.]+)\\.");

    private static final Pattern ROW = Pattern.compile("(?m)^\\| `(\\w+)` \\| ((?:`\\w+`(?:, )?)+|nothing|all above) \\|");

    private record Source(Path path, String packageName, String code) {
        String room() {
            return packageName.split("\\.")[1];
        }
    }

    private static List<Source> sources() throws IOException {
        List<Source> sources = new ArrayList<>();
        for (Path path : javaFiles(MAIN)) {
            String code = COMMENT_OR_TEXT.matcher(Files.readString(path)).replaceAll("");
            Matcher matcher = PACKAGE.matcher(code);
            assertTrue(matcher.find(), path + " has no package");
            sources.add(new Source(path, matcher.group(1), code));
        }
        assertTrue(sources.size() > 20, "only " + sources.size() + " sources found in " + MAIN.toAbsolutePath());
        return sources;
    }

    private static List<Path> javaFiles(Path folder) throws IOException {
        try (Stream<Path> files = Files.walk(folder)) {
            return files.filter(file -> file.toString().endsWith(".java")).sorted().toList();
        }
    }

    private static void assertNone(String rule, List<String> violations) {
        assertEquals(List.of(), violations, rule);
    }

    @Test
    void roomsUseLowerRoomsOnly() throws IOException {
        List<String> violations = new ArrayList<>();
        for (Source source : sources()) {
            Set<String> allowed = ALLOWED.get(source.room());
            assertTrue(allowed != null, source.path + ": room " + source.room() + " must be one of " + ALLOWED.keySet());
            for (Matcher matcher = OURS.matcher(source.code); matcher.find(); ) {
                if (!matcher.group(1).equals(source.room()) && !allowed.contains(matcher.group(1))) {
                    violations.add(source.path + " uses " + matcher.group() + ", " + source.room() + " may use " + new TreeSet<>(allowed));
                }
            }
        }
        assertNone("the table of rooms", violations);
    }

    /** Everything between runs on any backend unchanged; the front doors choose one. */
    @Test
    void onlyTheFrontDoorsNameABackend() throws IOException {
        List<String> violations = new ArrayList<>();
        Map<String, Set<String>> doors = Map.of("cpu", Set.of("device", "notebook", "cli"), "cuda", Set.of("device", "cli"));
        Pattern backend = Pattern.compile("\\bjqlora\\.ops\\.(cpu|cuda)\\b");
        for (Source source : sources()) {
            for (Matcher matcher = backend.matcher(source.code); matcher.find(); ) {
                if (!source.packageName.equals(matcher.group()) && !doors.get(matcher.group(1)).contains(source.room())) {
                    violations.add(source.path + " uses " + matcher.group());
                }
            }
        }
        assertNone("backends", violations);
    }

    @Test
    void outsideLibrariesHaveTheirRooms() throws IOException {
        List<String> violations = new ArrayList<>();
        for (Source source : sources()) {
            OUTSIDE.forEach((library, rooms) -> {
                boolean used = Pattern.compile("\\b" + Pattern.quote(library) + "\\.").matcher(source.code).find();
                if (used && rooms.stream().noneMatch(room -> (source.packageName + ".").startsWith(room + "."))) {
                    violations.add(source.path + " uses " + library + ", which is for " + new TreeSet<>(rooms));
                }
            });
        }
        assertNone("outside libraries", violations);
    }

    /** The library reports through values, exceptions and listeners. */
    @Test
    void onlyTheFrontDoorsPrintExitOrReadTheEnvironment() throws IOException {
        Pattern forbidden = Pattern.compile("\\bSystem\\s*\\.\\s*(out|err|in|exit|getenv|getProperty|setProperty|console)\\b|\\bprintStackTrace\\b");
        List<String> violations = new ArrayList<>();
        for (Source source : sources()) {
            for (Matcher matcher = forbidden.matcher(source.code); matcher.find(); ) {
                if (!Set.of("cli", "kernel", "notebook").contains(source.room())) {
                    violations.add(source.path + " has " + matcher.group());
                }
            }
        }
        assertNone("only cli, kernel and notebook", violations);
    }

    @Test
    void everyPackageIsDescribed() throws IOException {
        Map<Path, List<Path>> byFolder = javaFiles(MAIN).stream().collect(Collectors.groupingBy(Path::getParent));
        List<String> violations = new ArrayList<>();
        byFolder.forEach((folder, files) -> {
            if (!files.contains(folder.resolve("package-info.java"))) {
                violations.add(folder + " has no package-info.java");
            }
        });
        assertNone("package-info.java", violations);
    }

    /** A reader who follows a package's description must find what it names; what it says of imports must be the table. */
    @Test
    void descriptionsOfPackagesAreTrue() throws IOException {
        List<String> violations = new ArrayList<>();
        for (Path path : javaFiles(MAIN)) {
            if (!path.endsWith("package-info.java")) {
                continue;
            }
            String text = Files.readString(path);
            for (Matcher link = LINK.matcher(text); link.find(); ) {
                if (!Files.isRegularFile(MAIN.resolve(link.group(1).replace('.', '/') + ".java"))) {
                    violations.add(path + " names " + link.group(1) + ", which is not there");
                }
            }
            Matcher imports = MAY_IMPORT.matcher(text);
            String room = MAIN.relativize(path).getName(1).toString();
            if (!imports.find()) {
                violations.add(path + " does not say what the package may import");
            } else if (path.getNameCount() == MAIN.getNameCount() + 3) {     // a room, not a package in one
                Set<String> said = new TreeSet<>(List.of(imports.group(1).replaceAll("\\s*\\n \\* ", " ").split(", ")));
                Set<String> all = new TreeSet<>(ALLOWED.keySet().stream().takeWhile(other -> !other.equals(room)).toList());
                boolean agrees = imports.group(1).equals("nothing of jqlora") ? ALLOWED.get(room).isEmpty()
                        : imports.group(1).startsWith("all rooms above it") || imports.group(1).startsWith("every room but") ? ALLOWED.get(room).equals(all) : ALLOWED.get(room).equals(said);
                if (!agrees) {
                    violations.add(path + " says \"" + imports.group(1) + "\", the table has " + ALLOWED.get(room));
                }
            }
        }
        assertNone("package-info.java", violations);
    }

    /** Contributors read the table there. */
    @Test
    void contributorsAreToldTheTable() throws IOException {
        Map<String, Set<String>> told = new LinkedHashMap<>();
        for (Matcher row = ROW.matcher(Files.readString(Path.of("CONTRIBUTING.md"))); row.find(); ) {
            String may = row.group(2).replace("`", "");
            told.put(row.group(1), may.equals("nothing") ? Set.of() : new TreeSet<>(may.equals("all above") ? told.keySet() : Set.of(may.split(", "))));
        }
        assertEquals(ALLOWED, told);
        assertEquals(List.copyOf(ALLOWED.keySet()), List.copyOf(told.keySet()), "their order");
    }

    @Test
    void noFileIsTooLong() throws IOException {
        List<String> violations = new ArrayList<>();
        for (Path folder : new Path[] {MAIN, TESTS}) {
            for (Path file : javaFiles(folder)) {
                long lines = Files.readString(file).lines().count();
                if (lines > LONGEST_FILE) {
                    violations.add(file + " has " + lines + " lines, at most " + LONGEST_FILE);
                }
            }
        }
        assertNone("length of files", violations);
    }

    @Test
    void noMethodIsTooLong() throws IOException {
        List<String> violations = new ArrayList<>();
        JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        try (StandardJavaFileManager files = compiler.getStandardFileManager(null, null, StandardCharsets.UTF_8)) {
            JavacTask task = (JavacTask) compiler.getTask(null, files, null, List.of("-proc:none"), null, files.getJavaFileObjectsFromPaths(javaFiles(MAIN)));
            SourcePositions positions = Trees.instance(task).getSourcePositions();
            int methods = 0;
            for (CompilationUnitTree unit : task.parse()) {
                methods += new TreeScanner<Integer, Void>() {
                    @Override
                    public Integer visitMethod(MethodTree method, Void nothing) {
                        long first = unit.getLineMap().getLineNumber(positions.getStartPosition(unit, method));
                        long lines = unit.getLineMap().getLineNumber(positions.getEndPosition(unit, method)) - first + 1;
                        if (lines > LONGEST_METHOD) {
                            violations.add(unit.getSourceFile().getName() + ": " + method.getName() + " has " + lines + " lines, at most " + LONGEST_METHOD);
                        }
                        return reduce(1, super.visitMethod(method, nothing));
                    }

                    @Override
                    public Integer reduce(Integer one, Integer other) {
                        return (one == null ? 0 : one) + (other == null ? 0 : other);
                    }
                }.scan(unit, null);
            }
            assertTrue(methods > 1000, "only " + methods + " methods found in " + MAIN.toAbsolutePath());
        }
        assertNone("length of methods", violations);
    }

    @Test
    void noLineIsTooLong() throws IOException {
        List<String> listed = Files.readAllLines(LONG_LINES), violations = new ArrayList<>();
        Set<String> left = new TreeSet<>(listed);
        assertTrue(List.copyOf(left).equals(listed), LONG_LINES + " must be sorted, with each name once");
        for (Path file : javaFiles(MAIN)) {
            String name = MAIN.relativize(file).toString().replace('\\', '/');
            boolean isListed = left.remove(name);
            List<String> lines = Files.readAllLines(file);
            List<Integer> tooLong = IntStream.range(0, lines.size()).filter(i -> lines.get(i).length() > LONGEST_LINE).mapToObj(i -> i + 1).toList();
            if (!isListed && !tooLong.isEmpty()) {
                violations.add(name + ": lines " + tooLong + " have more than " + LONGEST_LINE + " characters");
            } else if (isListed && tooLong.isEmpty()) {
                violations.add(name + " has no such line any more; take it off " + LONG_LINES);
            }
        }
        left.forEach(name -> violations.add(name + " is not there any more; take it off " + LONG_LINES));
        assertNone("length of lines", violations);
    }
}
