package jqlora.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.TestInstance.Lifecycle;

/** What a declaration that is run again does to what was declared before. */
@TestInstance(Lifecycle.PER_CLASS)
class RedefinitionTest {
    private final CellSession cells = new CellSession();

    @Test
    void aVariableOfAClassThatHasChangedIsToldInTheCellThatChangesIt() throws CellFailure {
        cells.run("class Run { String name; Run(String n) { name = n; } }\nRun run = new Run(\"first\"); int kept = 7; List<Run> runs = List.of(run);");
        int declared = cells.cell();
        cells.run("class Run { String name; int steps; Run(String n) { name = n; } }");
        assertEquals(List.of("variable run (Run) has lost its value, since type Run was declared anew; run cell " + declared + " again to set it",
                "variable runs (List<Run>) has lost its value, since type Run was declared anew; run cell " + declared + " again to set it"),
                cells.printed().lines().sorted().toList());
        assertNull(cells.run("run"));
        assertEquals(7, cells.run("kept"));
        cells.run("run = new Run(\"second\");");
        cells.run("class Run { String name; int steps; Run(String n) { name = n; } }");
        assertEquals("", cells.printed());
        assertEquals("second", cells.run("run.name"));
    }

    @Test
    void aClassThatIsTheSameButForCommentsAndLinesKeepsItsVariables() throws CellFailure {
        cells.run("class Same { int n = 3; int fails() { return 1 / 0; } }\nSame same = new Same(); same.n = 4;");
        cells.run("// a comment before\nclass Same { // and one within\n  int n = 3;\n\n  int fails() {\n    return 1 / 0;\n  }\n}");
        int again = cells.cell();
        assertEquals("", cells.printed());
        assertEquals(4, cells.run("same.n"));
        List<String> lines = cells.lines("same.fails()");
        assertTrue(lines.contains("  at Same.fails() in cell " + again + ", line 6"), lines::toString);
        assertTrue(lines.contains(">   6 |     return 1 / 0;"), lines::toString);
    }

    @Test
    void aVariableWhoseInitializerFitsNoMoreIsToldAndNamedWhereItIsMissed() throws CellFailure {
        cells.run("record P(int x) { }\nP p = new P(1); var q = new P(2); P[] ps = { p };");
        int declared = cells.cell();
        cells.run("record P(int x, int y) { }");
        for (String lost : List.of("variable p (P)", "variable q (P)", "variable ps (P[])")) {
            assertTrue(cells.printed().contains(lost + " has lost its value, since type P was declared anew; run cell " + declared + " again"), cells.printed());
        }
        List<String> lines = cells.lines("p");
        assertEquals("CompileError: cannot find symbol: variable p", lines.getFirst());
        assertEquals("variable p is gone, since type P was declared anew; run cell " + declared + " again to declare it", lines.getLast());
    }

    @Test
    void aVariableThatOnlyItsInitializerNeedsNoMoreKeepsItsValue() throws CellFailure {
        cells.run("double rate(int step) { return step * 2.0; }");
        cells.run("double first = rate(3); var list = new ArrayList<>(List.of(rate(1)));");
        cells.run("String rate(int step) { return \"none\"; }");
        assertEquals("", cells.printed());
        assertEquals("6.0 [2.0]", cells.run("first + \" \" + list"));
    }

    @Test
    void methodsAndTypesThatCompileNoMoreAreTold() throws CellFailure {
        cells.run("record Pair(int a, int b) { }");
        cells.run("int sum(Pair pair) { return pair.a() + pair.b(); }\nclass Holder { int of(Pair pair) { return pair.b(); } }");
        int declared = cells.cell();
        cells.run("record Pair(int a) { }");
        assertTrue(cells.printed().contains("method sum(Pair) compiles no more, since type Pair was declared anew: cannot find method b()"), cells.printed());
        assertTrue(cells.printed().contains("type Holder compiles no more, since type Pair was declared anew: cannot find method b()"), cells.printed());
        assertTrue(cells.printed().contains("mend it in cell " + declared + " and run that again"), cells.printed());
    }

    @Test
    void whatTheSameCellDeclaresAnewIsNotLost() throws CellFailure {
        cells.run("record Step(int n) { }\nStep step = new Step(1);");
        cells.run("record Step(int n, double loss) { }\nStep step = new Step(1, 0.5);");
        assertEquals("", cells.printed());
        assertEquals(0.5, cells.run("step.loss()"));
    }

    @Test
    void aDeclarationThatDoesNotCompileLeavesWhatThereWas() throws CellFailure {
        cells.run("class Good { int a = 1; }\nGood good = new Good(); good.a = 5;");
        assertEquals("CompileError", cells.failure("class Good { int a = \"text\"; }").name());
        assertEquals("", cells.printed());
        assertEquals(5, cells.run("good.a"));
    }

    @Test
    void anInitializerThatFailsLeavesTheOldValue() throws CellFailure {
        cells.run("int steps = 5; var names = List.of(\"a\");");
        assertEquals("ArithmeticException", cells.failure("int steps = 1 / (names.size() - 1);").name());
        assertEquals("IndexOutOfBoundsException", cells.failure("var names = List.of(List.of(\"b\").get(1));").name().replace("ArrayIndexOut", "IndexOut"));
        assertEquals("5 [a]", cells.run("steps + \" \" + names"));
    }

    @Test
    void aLostVariableThatHeldSomethingOpenSaysSo() throws CellFailure {
        cells.run("record Kept(Display d) { }\nKept kept = new Kept(null); record Bar(Progress p) { }\nBar bar = new Bar(progress(\"x\", 2));");
        cells.run("record Bar(Progress p, int n) { }");
        assertTrue(cells.printed().contains("variable bar (Bar) has lost its value, since type Bar was declared anew; it held an open Progress; run cell"), cells.printed());
    }

    @Test
    void forwardReferencesWithinACellAreNotMentioned() throws CellFailure {
        assertEquals(3, cells.run("int early(int x) { return late(x); }\nint late(int x) { return x + 1; }\nearly(2)"));
        assertEquals("", cells.printed());
        cells.run("int waits(int x) { return never(x) + missing; }");
        assertEquals("method waits(int) cannot be used until this is declared: method never(int), variable missing", cells.printed().strip());
    }

    @Test
    void anErrorNamesTheRightLineAfterAForwardReference() throws CellFailure {
        cells.run("\n\nint ahead(int x) {\n  return behind(x) / 0;\n}");
        int first = cells.cell();
        cells.run("int behind(int x) { return x; }");
        List<String> lines = cells.lines("\nahead(1)");
        assertTrue(lines.contains("  at ahead() in cell " + first + ", line 4"), lines::toString);
        assertTrue(lines.contains("  at cell " + cells.cell() + ", line 2"), lines::toString);
        assertTrue(cells.lines("int one() { return 0 / two(); }\nint two() { return 0; }\none()").contains("  at one() in cell " + cells.cell() + ", line 1"));
    }

    @Test
    void aClassWhoseStaticInitializerHasFailedCanBeDeclaredAgain() throws CellFailure {
        String source = "class Reads { static int n = Integer.parseInt(System.getProperty(\"reads.n\", \"none\")); }";
        List<String> lines = cells.lines(source + "\nReads.n");
        assertEquals("ExceptionInInitializerError: a static initializer failed: NumberFormatException: For input string: \"none\"", lines.getFirst());
        assertTrue(lines.contains(">   1 | " + source), lines::toString);
        assertTrue(cells.failure("Reads.n").getMessage().endsWith("run the cell that declares it again"));
        System.setProperty("reads.n", "4");
        try {
            assertEquals(4, cells.run(source + "\nReads.n"));
        } finally {
            System.clearProperty("reads.n");
        }
    }

    @Test
    void anObjectOfAnEarlierDeclarationIsNamedAsThat() throws CellFailure {
        cells.run("record Point(int x) { }\nObject any = new Point(1);");
        cells.run("record Point(int x, int y) { }");
        assertEquals("this Point is of an earlier declaration of Point; make it anew", cells.failure("(Point) any").getMessage());
    }
}
