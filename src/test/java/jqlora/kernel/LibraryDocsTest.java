package jqlora.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class LibraryDocsTest {
    private final LibraryDocs docs = new LibraryDocs(Path.of("src/main/java"));

    @Test
    void methodsOverloadsConstructorsAndRecordsAreFound() {
        assertTrue(docs.ofMember("void Qlora.show(Object table, int rows)").orElseThrow().startsWith("Shows {@code table} in at most {@code rows} rows.\n\n<pre>{@code\n"));
        assertTrue(docs.ofMember("Progress Qlora.progress(String label, long total)").orElseThrow().contains("@param total at least 1"));
        assertTrue(docs.ofMember("<T>Iterable<T> Qlora.progress(String label, Collection<T> items)").orElseThrow().startsWith("{@code items} for a for-each loop"));
        assertEquals("@param header one name per column", docs.ofMember("HtmlTable(String... header)").orElseThrow());
        assertTrue(docs.ofMember("PngImage(String base64, int width, int height)").orElseThrow().startsWith("A picture for a notebook."));
    }

    @Test
    void examplesKeepTheirBracesAndIndentation() {
        assertEquals("""
                Opens a model, or not.

                  try (OpenModel open = openModel("a")) {
                      show(open);
                  }

                @return it""", Assistance.plain("""
                Opens a {@code model}, or not.

                <pre>{@code
                try (OpenModel open = openModel("a")) {
                    show(open);
                }
                }</pre>

                @return it"""));
    }

    @Test
    void accessorsOfRecordsSayWhatTheirComponentIs() {
        assertEquals("inner size of A [r, in] and B [out, r]; at least 1", docs.ofMember("int LoraConfig.r()").orElseThrow());
        assertEquals(Optional.empty(), docs.ofMember("int LoraConfig.noComponent()"));
        assertTrue(docs.ofMember("Path Home.folder()").orElseThrow().startsWith("jqlora"), "a method with a comment of its own");
    }

    @Test
    void typesAreFound() {
        assertTrue(docs.ofMember("jqlora.lora.LoraConfig(int r, double loraAlpha)").orElseThrow().contains("@param r inner size of A"));
        assertTrue(docs.ofMember("jqlora.notebook.HtmlTable").orElseThrow().startsWith("A small table for a report"));
        assertEquals(Optional.empty(), docs.ofMember("jqlora.notebook.HtmlTable value"));
        assertTrue(docs.ofType("HtmlTable").orElseThrow().startsWith("A small table for a report"));
        assertEquals(Optional.empty(), docs.ofType("String"));
        assertEquals(Optional.empty(), docs.ofType(""));
    }

    @Test
    void whatIsNotOursIsNotFound() {
        assertEquals(Optional.empty(), docs.ofMember("int String.length()"));
        assertEquals(Optional.empty(), docs.ofMember("modules:Table"));
        assertEquals(Optional.empty(), new LibraryDocs(Path.of("no/such/folder")).ofMember("void Qlora.show(Object value)"));
    }
}
