package jqlora.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** When what every notebook begins with is imported. */
class DefaultImportsTest {
    private final List<String> done = new ArrayList<>();
    private final DefaultImports imports = new DefaultImports(new DefaultImports.Shell() {
        @Override
        public void add(String what) {
            done.add("+" + what);
        }

        @Override
        public void drop(String what) {
            done.add("-" + what);
        }
    });

    DefaultImportsTest() {
        imports.add("java.util", true);
        imports.add("java.util.function", true);
        imports.add("jqlora.lora", false);
        imports.add("static jqlora.notebook.Qlora", false);
    }

    private List<String> after(String cell) {
        done.clear();
        imports.before(TopLevelNames.of(cell));
        return List.copyOf(done);
    }

    @Test
    void aCellBringsInWhatItMentions() {
        assertEquals(List.of(), after("1 + 1"));
        assertEquals(List.of("+java.util.*"), after("List.of(1)"));
        assertEquals(List.of("+static jqlora.notebook.Qlora.*"), after("show(Map.of())"));
        assertEquals(List.of(), after("show(List.of())"));
    }

    @Test
    void theRestComesOneByOne() {
        after("List.of(1)");
        done.clear();
        assertTrue(imports.importNext());
        assertEquals(List.of("+java.util.function.*"), done);
        assertTrue(imports.importNext());
        assertTrue(imports.importNext());
        assertFalse(imports.importNext());
        assertEquals(List.of(), after("LoraConfig.defaults()"));
    }

    @Test
    void aNameThatTheCellDeclaresIsNeverImported() {
        assertEquals(List.of(), after("record LoraConfig(int r) { }"));
        assertEquals(List.of("+jqlora.lora.LoraAdapter"), after("LoraAdapter a = null; new LoraConfig(1);"));
    }
}
