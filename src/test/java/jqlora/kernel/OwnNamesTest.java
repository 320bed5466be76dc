package jqlora.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Types, methods and variables of the notebook that are named like one of its imports. */
class OwnNamesTest {
    private final CellSession cells = new CellSession();

    private String after(String... sources) throws CellFailure {
        String last = null;
        for (String source : sources) {
            last = cells.shown(source);
        }
        return last;
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "sealed interface Shape permits Circle, Square {}|record Circle(double r) implements Shape {}|record Square(double s) implements Shape {}|Shape it = new Square(2); it",
        "record Circle(double r) implements Shape {}|record Square(double s) implements Shape {}|sealed interface Shape permits Circle, Square {}|(Shape) new Square(2)",
        "record Square(double s) implements Shape {}|interface Shape {}|Shape it = new Square(2); it",
    })
    void sealedTypesAndTheirRecordsInOneCellOrSeveral(String source) throws CellFailure {
        assertEquals("Square[s=2.0]", new OwnNamesTest().after(source.replace('|', '\n')));
        assertEquals("Square[s=2.0]", after(source.split("\\|")));
    }

    @Test
    void recordsThatReferToEachOther() throws CellFailure {
        assertEquals("Table[rows=[Row[n=3, owner=null]]]",
                after("record Table(List<Row> rows) {}\nrecord Row(int n, Table owner) {}\nnew Table(List.of(new Row(3, null)))"));
        assertEquals("null", after("class Linear<T> { T t; Parameter<T> p; }", "class Parameter<T> { Linear<T> owner; }", "String.valueOf(new Linear<String>().p)"));
        assertEquals("LARGE", after("int of(Batch b) { return b.ordinal(); }\nenum Batch { SMALL, LARGE }\nBatch.LARGE"));
    }

    @Test
    void aMethodThatUsesATypeBeforeItIsDeclared() throws CellFailure {
        cells.run("double area(Progress p) { return p.height() * 2; }");
        assertTrue(cells.printed().startsWith("taken without jqlora.notebook.Progress, since with it: cannot find symbol: method height()"), cells.printed());
        assertTrue(cells.printed().contains("method area(Progress) cannot be used until this is declared: class Progress"), cells.printed());
        assertEquals("8.0", after("record Progress(double height) {}\narea(new Progress(4))"));
    }

    @Test
    void whatIsOursStaysOursBesideIt() throws CellFailure {
        assertEquals("[2, 3] F32 mine", after("Shape ours = Shape.of(2, 3); DType type = DType.F32;", "record Shape(String name) {}", "ours + \" \" + type + \" \" + new Shape(\"mine\").name()"));
        assertEquals("BF16", after("DType.BF16"));
        assertEquals("[4]", after("jqlora.tensor.Shape.of(4)"));
    }

    @Test
    void typesNamedLikeThoseOfTheJdk() throws CellFailure {
        assertEquals("Cons[head=1, tail=Nil[]] {1=2} [3]", after("sealed interface List<T> permits Cons, Nil {}\nrecord Cons<T>(T head, List<T> tail) implements List<T> {}\n"
                + "record Nil<T>() implements List<T> {}\nList<Integer> l = new Cons<>(1, new Nil<>());\nl + \" \" + Map.of(1, 2) + \" \" + new ArrayList<>(Set.of(3))"));
        assertEquals("x true", after("interface Path { String p(); }\nPath p = () -> \"x\";\np.p() + \" \" + Files.exists(java.nio.file.Path.of(\"/\"))"));
    }

    @Test
    void methodsNamedLikeOurs() throws CellFailure {
        cells.run("void calls() { show(1, 2, 3); }\nvoid show(int a, int b, int c) { System.out.print(\"mine \" + (a + b + c)); }\ncalls();");
        assertEquals("mine 6", cells.printed());
        cells.run("void more() { display(\"x\"); }\nvoid display(Object o) { System.out.print(\"own \" + o); }\nmore();");
        assertEquals("own x", cells.printed());
        assertEquals("cuda:0, FP8, at most 8000000000 bytes", after("Device.cuda(0).withPrecision(FP8).withBudget(gigabytes(8))"), "what else is ours is still there");
    }

    @Test
    void aVariableNamedLikeOurType() throws CellFailure {
        assertEquals("2", after("int size() { return Histogram.size(); }\nList<Integer> Histogram = List.of(1, 2);\nsize()"));
    }

    @Test
    void importsOfTheNotebookWinOverOurs() throws CellFailure {
        assertEquals("java.awt.Rectangle[x=0,y=0,width=1,height=2]", after("import java.awt.*;\nShape s = new Rectangle(1, 2);\ns"));
        assertEquals("[5]", new OwnNamesTest().after("import java.awt.Shape;", "jqlora.tensor.Shape.of(5)"));
        assertEquals("null", new OwnNamesTest().after("import java.awt.Shape;", "Shape s = null;", "String.valueOf(s)"));
    }

    @Test
    void aTypeInsideAnotherLeavesOursAlone() throws CellFailure {
        assertEquals("Tensor[n=3] true", after("class Outer { record Tensor(int n) {} }\nTensor t = null;\nnew Outer.Tensor(3) + \" \" + (t == null)"));
        assertEquals("true", after("Tensor.class.getName().startsWith(\"jqlora\")"));
    }

    @Test
    void declaringItAgainAndAgainWorks() throws CellFailure {
        assertEquals("Row[a=1]", after("record Row(int a) {}\nnew Row(1)"));
        assertEquals("Row[a=1, b=2]", after("record Row(int a, int b) {}\nnew Row(1, 2)"));
        assertEquals("Row[]", after("record Row() {}", "new Row()"));
    }

    @Test
    void topLevelNamesAreReadFromTheWords() {
        TopLevelNames names = TopLevelNames.of("// class No\n@Deprecated public sealed interface A<T extends B> permits C {}\nstatic <T> List<T> make(int n) throws Exception { class In {} return null; }\n"
                + "int[] x = {1}; Map<String, Integer> y;\nvar z = new Object() { void w() { } };\nString s = \"record D(int q) {}\"; record E(int i) { } enum F { G }\nif (x[0] > 1) { } call(1); record = 3;");
        assertEquals(List.of("A", "E", "F"), List.copyOf(names.types()));
        assertEquals(List.of("make"), List.copyOf(names.methods()));
        assertTrue(names.variables().containsAll(List.of("x", "y", "z", "s")), names.variables()::toString);
        assertTrue(names.mentioned().contains("In") && !names.mentioned().contains("No") && !names.mentioned().contains("D"), names.mentioned()::toString);
    }
}
