package jqlora.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.TestInstance.Lifecycle;

/** Source that is too much for the compiler, exceptions and values that are odd themselves. */
@TestInstance(Lifecycle.PER_CLASS)
class OddValuesTest {
    private final CellSession cells = new CellSession();

    @Test
    void longChainsAndSumsCompile() throws CellFailure {
        assertEquals(1_000, cells.run("String t = new StringBuilder()" + ".append(1)".repeat(1_000) + ".toString();\nt.length()"));
        assertEquals(3_001, cells.run("int one = 1;\nint m = 1" + " + one".repeat(3_000) + ";\nm"));
    }

    @Test
    void whatIsNestedTooDeeplyIsRefusedInOneLine() {
        CellFailure failure = cells.failure("String deep = \"\"" + ".concat(\"\"".repeat(60_000) + ")".repeat(60_000) + ";");
        assertEquals("CompileError", failure.name());
        assertEquals("cell " + cells.cell() + ", line 1: this is nested too deeply to compile; split it into several statements", failure.getMessage());
        assertEquals(1, failure.lines().size());
        assertEquals("", cells.printed());
    }

    @Test
    void codeBeyondTheLimitOfAMethodIsRefusedInOneLine() {
        CellFailure failure = cells.failure("int[] large = {" + "1,".repeat(20_000) + "};");
        assertTrue(failure.getMessage().endsWith("larger than the 64 KB that Java allows a method; split it into several statements or methods"), failure.getMessage());
        assertTrue(failure.lines().stream().mapToInt(String::length).sum() < 1_000, () -> String.join("\n", failure.lines()));
        assertEquals("", cells.printed());
    }

    @Test
    void endlessRecursionIsShownOnce() {
        List<String> lines = cells.lines("class Deep { static int f(int i) { return f(i + 1) + 1; } }\nDeep.f(0)");
        assertEquals("StackOverflowError: calls are nested too deeply; does the recursion end?", lines.getFirst());
        assertTrue(lines.getLast().matches("  at Deep.f\\(\\) in cell \\d+, line 1 \\(\\d{3,4} times\\)"), lines::toString);
        assertTrue(lines.size() < 8, lines::toString);
        lines = cells.lines("void even(int n) { odd(n + 1); }\nvoid odd(int n) { even(n + 1); }\neven(1)");
        assertTrue(lines.stream().anyMatch(line -> line.contains("(these 2 calls ")), lines::toString);
        assertTrue(lines.size() < 10, lines::toString);
    }

    @Test
    void runsOfEqualLinesAreFolded() {
        assertEquals(List.of("a", "b", "c", "d (these 2 calls 3 times)", "e"), FrameLines.folded(List.of("a", "b", "c", "d", "c", "d", "c", "d", "e")));
        assertEquals(List.of("a (4 times)", "b"), FrameLines.folded(List.of("a", "a", "a", "a", "b")));
        assertEquals(List.of("a", "a", "b", "b"), FrameLines.folded(List.of("a", "a", "b", "b")));
    }

    @Test
    void aValueWhoseToStringFailsIsToldWithItsPlace() {
        List<String> lines = cells.lines("class Bad {\n  public String toString() { throw new IllegalStateException(\"no text\"); }\n}\nnew Bad()");
        assertEquals("IllegalStateException: no text", lines.getFirst());
        assertEquals("cell " + cells.cell() + " has run; only its value, of type Bad, cannot be shown", lines.get(1));
        assertTrue(lines.contains("  at Bad.toString() in cell " + cells.cell() + ", line 2"), lines::toString);
        assertEquals("StackOverflowError", cells.failure("new Object() { public String toString() { return toString() + 1; } }").name());
        assertEquals("get 0", cells.failure("new AbstractList<Integer>() { public Integer get(int i) { throw new RuntimeException(\"get \" + i); } public int size() { return 3; } }").getMessage());
        assertEquals("StackOverflowError", cells.failure("List<Object> self = new ArrayList<>(); self.add(List.of(self)); self").name());
    }

    @Test
    void aValueWhoseToStringReturnsNullIsShownAsThat() throws CellFailure {
        assertEquals("null", cells.shown("new Object() { public String toString() { return null; } }"));
        assertEquals("Object[1] {Object[1] {Object[1] {Object[1] {Object[1] {Object[1] {Object[1] {...}}}}}}}", cells.shown("Object[] loop = new Object[1]; loop[0] = loop; loop"));
    }

    @Test
    void hugeValuesAreCut() throws CellFailure {
        String shown = cells.shown("IntStream.range(0, 100_000).boxed().toList()");
        assertTrue(shown.endsWith("998, 999, ... 99000 more]"), () -> shown.substring(shown.length() - 60));
        assertTrue(cells.shown("\"y\".repeat(5_000_000)").endsWith("\n... 4800000 more characters"));
        assertTrue(cells.shown("IntStream.range(0, 2000).boxed().collect(Collectors.toMap(i -> i, i -> i))").endsWith("... 1000 more]"));
        assertTrue(cells.failure("throw new RuntimeException(\"x\".repeat(1_000_000));").getMessage().length() < 5_000);
    }

    @Test
    void exceptionsThatAreOddThemselves() {
        assertEquals("(its getMessage() fails with RuntimeException)",
                cells.failure("class E1 extends RuntimeException { public String getMessage() { throw new RuntimeException(); } }\nthrow new E1();").getMessage());
        List<String> lines = cells.lines("class E2 extends RuntimeException { public Throwable getCause() { return this; } public StackTraceElement[] getStackTrace() { return null; } }\nthrow new E2();");
        assertEquals(List.of("E2", "  (its cause is one of those above again)"), lines);
        lines = cells.lines("var outer = new RuntimeException(\"outer\"); outer.addSuppressed(new IOException(\"closing\")); outer.initCause(new RuntimeException(\"inner\", outer)); throw outer;");
        assertTrue(lines.contains("suppressed IOException: closing"), lines::toString);
        assertTrue(lines.contains("caused by RuntimeException: inner"), lines::toString);
    }

    @Test
    void aCauseAloneHasThePlace() {
        List<String> lines = cells.lines("CompletableFuture.supplyAsync(() -> Integer.parseInt(\"q\")).join()");
        assertEquals("in cell " + cells.cell() + ", line 1", lines.get(1));
        assertEquals("  at a lambda in cell " + cells.cell() + ", line 1", lines.getLast());
    }

    @Test
    void longLinesOfACellAreCutAroundTheMark() {
        List<String> lines = cells.lines("int w = " + "1 + ".repeat(500) + "missing" + " + 1".repeat(500) + ";");
        String marked = lines.stream().filter(line -> line.startsWith(">")).findFirst().orElseThrow();
        String mark = lines.get(lines.indexOf(marked) + 1);
        assertEquals("missing", marked.substring(mark.indexOf('^'), mark.lastIndexOf('^') + 1));
        assertTrue(marked.length() < 200, marked);
    }

    @Test
    void assertionsAreOnAndExitIsAnError() throws CellFailure {
        assertEquals("AssertionError", cells.failure("assert 1 > 2 : \"one\";").name());
        assertEquals("ExitInCell", cells.failure("class Ends { void now() { System.exit(3); } }\nnew Ends().now();").name());
        assertEquals("ExitInCell", cells.failure("Runnable ends = () -> Runtime.getRuntime().halt(2); ends.run();").name());
        assertEquals("ExitInCell", cells.failure("java.util.function.IntConsumer ends = System::exit; ends.accept(4);").name());
        assertEquals(2, cells.run("1 + 1"));
    }

    @Test
    void outOfMemoryInACellAndInItsValueIsReported() throws CellFailure {
        assertEquals("OutOfMemoryError", cells.failure("long[] all = new long[Integer.MAX_VALUE];").name());
        assertEquals("OutOfMemoryError", cells.failure("new Object() { public String toString() { return \"x\".repeat(Integer.MAX_VALUE) + \"y\".repeat(Integer.MAX_VALUE); } }").name());
        assertEquals(2, cells.run("1 + 1"));
    }

    @Test
    void percentGoesOnWithAnExpressionWhereItsNameIsNoMagic() throws CellFailure {
        cells.run("int b = 4;");
        assertEquals(3, cells.run("int rest = switch (b) { case 4 -> 11; default -> 1; }\n    %b;\nrest"));
        assertEquals(1, cells.run("int third = new int[] {7}[0]\n%2;\nthird"));
        assertEquals("UnknownMagic", cells.failure("void g() { }\n%tme g()").name());
        assertEquals("UnknownMagic", cells.failure("if (b > 1) { }\n%tme g()").name());
        assertEquals(3, cells.run("int[] xs = new int[] {1}\n%time 3"));
        assertEquals(2, cells.run("// a comment first\n%%time\n1 + 1"));
    }
}
