package jqlora.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Semaphore;
import org.dflib.jjava.jupyter.kernel.magic.MagicsRegistry;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.TestInstance.Lifecycle;
import org.junit.jupiter.api.io.TempDir;

/** Cells from source to value or failure, without Jupyter around them. */
@TestInstance(Lifecycle.PER_CLASS)                                // JShell takes a second to start
public class CellRunnerTest {
    /** Released by a cell when it is running. */
    public static final Semaphore RUNS = new Semaphore(0);

    private final CellExecution execution = new CellExecution(Duration.ofMillis(800));
    private CellRunner runner;
    private int cell;

    @BeforeAll
    void start() throws CellFailure {
        runner = new CellRunner(null, new MagicsRegistry(), execution, new CompilerThread());
        runner.shell().importAll(List.of(new Notebook.Import("java.util", true)));
    }

    private Object run(String source) throws CellFailure {
        execution.beginCell();
        return runner.run(++cell, source.replace("RUNS", "jqlora.kernel.CellRunnerTest.RUNS.release();"), value -> value);
    }

    private CellFailure failure(String source) {
        return assertThrows(CellFailure.class, () -> run(source));
    }

    /** Lines as the notebook shows them, without colour. */
    private static List<String> shown(CellFailure failure) {
        return failure.lines().stream().map(line -> line.replaceAll("\u001b\\[[\\d;]+m", "")).toList();
    }

    @Test
    void theValueOfACellIsThatOfItsLastExpression() throws CellFailure {
        assertEquals(7, run("int a = 3;\nint b = 4;\na + b"));
        assertNull(run("int c = 3;"));
        assertNull(run("// nothing"));
        assertEquals("%s\n  %d\n", run("\"\"\"\n%s\n  %d\n\"\"\""));
    }

    @Test
    void anExceptionKeepsItsNameAndShowsTheLineOfTheCell() {
        CellFailure failure = failure("int zero = 0;\n\n// why\n5 / zero");
        assertEquals("ArithmeticException", failure.name());
        assertEquals("/ by zero", failure.getMessage());
        assertEquals(List.of("ArithmeticException: / by zero", "in cell " + cell + ", line 4", "    2 | ", "    3 | // why",
                ">   4 | 5 / zero", "  at cell " + cell + ", line 4"), shown(failure));
    }

    @Test
    void causesAndCallsIntoOtherCellsAreShownWithoutTheKernelsFrames() throws CellFailure {
        run("void fails(int n) {\n  throw new IllegalStateException(\"n is \" + n, new java.io.IOException(\"disk <full>\"));\n}");
        int declaredIn = cell;
        List<String> lines = shown(failure("fails(3)"));
        assertEquals("IllegalStateException: n is 3", lines.getFirst());
        assertTrue(lines.contains("  at fails() in cell " + declaredIn + ", line 2"), lines::toString);
        assertTrue(lines.contains("  at cell " + cell + ", line 1"), lines::toString);
        assertEquals("caused by IOException: disk <full>", lines.getLast());
        assertFalse(String.join("\n", lines).matches("(?s).*(jdk\\.|java\\.lang\\.reflect|jqlora\\.kernel|REPL|do_it).*"), lines::toString);
    }

    @Test
    void libraryFramesBetweenCellsAreShown() {
        List<String> lines = shown(failure("java.util.List.of(1, 0).forEach(x -> System.out.print(1 / x))"));
        assertTrue(lines.contains("  at a lambda in cell " + cell + ", line 1"), lines::toString);
        assertTrue(lines.stream().anyMatch(line -> line.startsWith("  at java.") && line.contains(".forEach (")), lines::toString);
    }

    @Test
    void aCompileErrorPointsAtItsPlaceInTheCell() {
        CellFailure failure = failure("int fine = 1;\nint r = missing + 1;");
        assertEquals("CompileError", failure.name());
        assertEquals("cell " + cell + ", line 2: cannot find symbol: variable missing", failure.getMessage());
        List<String> lines = shown(failure);
        int mark = lines.indexOf(">   2 | int r = missing + 1;") + 1;
        assertEquals(" ".repeat(8 + "int r = ".length()) + "^^^^^^^", lines.get(mark));
        assertEquals("CompileError", failure("class A {\n  void m( {\n}").name());
        assertEquals("CompileError", failure("int i =").name());
    }

    @Test
    void aMethodThatWaitsForADeclarationSaysSo() throws CellFailure {
        run("int early(int x) { return later(x); }");
        CellFailure failure = failure("early(1)");
        assertEquals("NotDeclared", failure.name());
        assertEquals("method early(int) uses method later(int), which is not declared yet", failure.getMessage());
        run("int later(int x) { return x + 1; }");
        assertEquals(2, run("early(1)"));
    }

    @Test
    void magicsRunAndUnknownOnesNameTheKnown(@TempDir Path folder) throws CellFailure {
        assertEquals(5, run("%time 2 + 3"));
        assertEquals(6, run("%%time\nint six = 6;\nsix"));
        assertNull(run("%classpath \"" + folder + "\""));
        assertEquals("%classpath: /no/such.jar: no such file or folder", failure("%classpath /no/such.jar").getMessage());
        assertEquals("%speed is not known; there is %classpath, %dependency, %jars, %load, %loadFromPOM, %lsmagic, %maven, %mavenRepo, %time", failure("%speed 3").getMessage());
        assertEquals("%%speed is not known; there is %%html, %%loadFromPOM, %%time", failure("%%speed 3").getMessage());
        assertEquals("%maven: nothing given; name a library as group:artifact:version", failure("%maven").getMessage());
        assertTrue(failure("%maven commons-csv").getMessage().contains("\"commons-csv\" is not group:artifact:version"));
        assertTrue(failure("%mavenRepo x").getMessage().contains("%mavenRepo company https://"));
    }

    @Test
    void filesOfJavaAndNotebooksAreLoaded(@TempDir Path folder) throws Exception {
        Path java = folder.resolve("a.jsh");
        Files.writeString(java, "int fromFile = 4;\nint fails() {\n  return 1 / 0;\n}\nfromFile * 2");
        assertEquals(8, run("%load " + java));
        assertTrue(shown(failure("fails()")).contains(">   3 |   return 1 / 0;"));
        Path notebook = folder.resolve("b.ipynb");
        Files.writeString(notebook, "{\"cells\": [{\"cell_type\": \"markdown\", \"source\": [\"no\"]}, {\"cell_type\": \"code\", \"source\": [\"int five = 5;\\n\", \"five + 1\"]}]}");
        assertEquals(6, run("%load " + notebook));
        assertEquals("%load: " + folder.resolve("c.jsh") + ": no such file", failure("%load " + folder.resolve("c.jsh")).getMessage());
    }

    @Test
    void aSemicolonSilencesTheLastExpression() throws CellFailure {
        assertNull(run("1 + 1;"));
        assertNull(run("new ArrayList<>(List.of(1)).add(2); // so it is"));
        assertEquals(2, run("1 + 1 // no semicolon; here"));
        assertNull(run("%time 1 + 1;"));
    }

    @Test
    void anInterruptThatComesTooLateLeavesTheValue() throws Exception {
        interruptTheNextCell(1);
        assertEquals("done", run("java.util.function.Supplier<String> slow = () -> { RUNS jqlora.kernel.CellRunnerTest.spinFor(400); return \"done\"; };\nslow.get()"));
    }

    @Test
    void aMissingImportIsOffered() {
        List<String> lines = shown(failure("ConcurrentHashMap<String, Integer> m = null;"));
        assertTrue(lines.getLast().contains("import java.util.concurrent.ConcurrentHashMap;"), lines::toString);
    }

    @Test
    void aVariableDeclaredAnewLetsGoOfItsOldValue() throws CellFailure {
        run("var held = new Object(); var was = new java.lang.ref.WeakReference<>(held); java.util.function.Supplier<Object> lambda = () -> held;");
        run("var held = \"new\";");
        assertEquals("new", run("lambda.get()"));
        System.gc();
        assertNull(run("was.get()"));
    }

    @Test
    void aVariableKeepsItsValueWhenAnotherChangesItsType() throws CellFailure {
        run("var shape = \"2x3\"; var product = shape.toString().length() * 2;");
        run("var shape = List.of(2, 3);");
        assertEquals(6, run("product"));
        assertEquals(0, run("int product; product"));
    }

    @Test
    void anInterruptedSleepEndsTheCell() throws Exception {
        interruptTheNextCell(1);
        CellFailure failure = failure("int before = 1;\n{ RUNS Thread.sleep(60_000); }\nint after = 2;");
        assertEquals("Interrupted", failure.name());
        assertEquals("cell " + cell + ", line 2", failure.getMessage());
        assertEquals(3, run("1 + 2"));
    }

    @Test
    void aCellThatTakesAnInterruptAsARequestGoesOn() throws Exception {
        interruptTheNextCell(1);
        assertEquals("saved", run("String state = \"\";\ntry { RUNS Thread.sleep(60_000); } catch (InterruptedException e) { Thread.sleep(300); state = \"saved\"; }\nstate"));
    }

    @Test
    void anEndlessLoopIsStoppedAtOnceAndOneThatSwallowsInterruptsAtTheSecond() throws Exception {
        interruptTheNextCell(1);
        long start = System.nanoTime();
        assertEquals("Interrupted", failure("long n = 0; { RUNS while (true) n++; }").name());
        assertTrue(System.nanoTime() - start < 2_000_000_000L, "the loop went on");
        interruptTheNextCell(2);
        assertEquals("Interrupted", failure("{ RUNS for (;;) { try { Thread.sleep(10); } catch (InterruptedException e) { } } }").name());
        assertEquals(true, run("n > 0"));
    }

    @Test
    void anInterruptWhileAValueIsDrawnEndsThat() throws Exception {
        interruptTheNextCell(1);
        CellFailure failure = assertThrows(CellFailure.class, () -> {
            execution.beginCell();
            runner.run(++cell, "new Object() { public String toString() { jqlora.kernel.CellRunnerTest.RUNS.release(); while (true); } }", String::valueOf);
        });
        assertEquals("Interrupted", failure.name());
        assertEquals("cell " + cell + ", while its value was drawn", failure.getMessage());
    }

    @Test
    void aThreadThatCannotBeStoppedIsLeftBehind() throws Exception {
        interruptTheNextCell(2);
        CellFailure failure = failure("{ RUNS jqlora.kernel.CellRunnerTest.spinFor(4_000); }");
        assertEquals("cell " + cell + " did not end after the interrupt", failure.getMessage());
        assertEquals(3, run("1 + 2"));
    }

    /** A loop outside of cells, which takes no notice of interrupts. */
    public static void spinFor(long millis) {
        for (long end = System.nanoTime() + millis * 1_000_000; System.nanoTime() < end; ) {
            Thread.onSpinWait();
        }
    }

    private void interruptTheNextCell(int times) {
        CompletableFuture.runAsync(() -> {
            RUNS.acquireUninterruptibly();
            for (int i = 0; i < times; i++) {
                sleep(100);
                execution.interrupt();
            }
        });
    }

    private static void sleep(long millis) {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
