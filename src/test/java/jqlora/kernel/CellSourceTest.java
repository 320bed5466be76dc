package jqlora.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import jqlora.kernel.CellSource.Java;
import jqlora.kernel.CellSource.Magic;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class CellSourceTest {
    @Test
    void magicsBetweenStatementsAreTakenOut() {
        String cell = "%classpath a.jar \"b c.jar\"\nint x = 1;\n  %time f(x);\nvoid g() { }\n%time g()";
        assertEquals(List.of(
                new Magic("classpath", "a.jar \"b c.jar\"", 1), new Java("int x = 1;\n", 2), new Magic("time", "f(x);", 3),
                new Java("void g() { }\n", 4), new Magic("time", "g()", 5)), CellSource.parse(cell).pieces());
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "var s = \"\"\"\n%s and\n  %d\n\"\"\";",
        "/*\n%time f()\n*/\nint x = 1;",
        "int y = 10\n%time;",
        "int y = (10\n%time);",
        "class A {\n  int f() { return 1; }\n%time f()\n}",
        "var quote = '\"';\nvar t = \"\"\"\n  \\\"\"\"\n%s\n\"\"\";",
        "f(a,\n%b);",
        "x // comment ;\n%d;",
        "int z = 7;\n% 3;",
    })
    void aPercentSignInsideJavaStaysJava(String cell) {
        CellSource source = CellSource.parse(cell);
        assertEquals(List.of(new Java(cell, 1)), source.pieces());
        assertTrue(source.cellMagic().isEmpty());
    }

    @Test
    void aCellMagicTakesTheRestOfTheCell() {
        CellSource source = CellSource.parse("\n%%time  now \nint x = 1;\n");
        assertEquals(new Magic("time", "now", 2), source.cellMagic().orElseThrow());
        assertEquals(1, source.pieces().size());
        assertEquals("int x = 1;", ((Java) source.pieces().getFirst()).code().strip());
    }

    @Test
    void magicAfterATextBlockIsStillMagic() {
        CellSource source = CellSource.parse("var s = \"\"\"\n  %d\n  \"\"\";\n%time f(s)");
        assertEquals(new Magic("time", "f(s)", 4), source.pieces().getLast());
    }

    @Test
    void blankingKeepsEveryPosition() {
        String cell = "%%time\n%classpath x.jar\nint a = 1;";
        String blanked = CellSource.blanked(cell);
        assertEquals(cell.length(), blanked.length());
        assertEquals("int a = 1;", blanked.strip());
        assertEquals(cell.indexOf("int"), blanked.indexOf("int"));
    }

    @Test
    void firstCodeSkipsBlanksAndComments() {
        String source = "\n // a\n /* b\n */  x + 1";
        assertEquals(source.indexOf("x + 1"), JavaScanner.firstCode(source));
        assertEquals(4, JavaScanner.firstCode("// a"));
    }
}
