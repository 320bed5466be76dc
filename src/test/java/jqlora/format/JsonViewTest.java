package jqlora.format;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

class JsonViewTest {
    @TempDir
    Path temp;

    @Test
    void valuesAndFallbacks() throws IOException {
        JsonView view = JsonView.parse("f.json", "{\"t\":\"x\",\"n\":3,\"d\":2.5,\"b\":true,\"null\":null,\"o\":{\"k\":1},\"l\":[\"a\",\"b\"],\"v\":[1,2.5],\"m\":[{\"k\":7}]}");
        assertEquals("x", view.text("t"));
        assertEquals("y", view.text("null", "y"));
        assertEquals(3, view.whole("n"));
        assertEquals(-4, view.whole("none", -4));
        assertEquals(3, view.positive("n"));
        assertEquals(5, view.positive("none", 5));
        assertEquals(2.5, view.number("d"));
        assertEquals(3, view.number("n"));
        assertEquals(0.5, view.number("null", 0.5));
        assertTrue(view.flag("b"));
        assertTrue(view.flag("none", true));
        assertEquals(1, view.object("o").whole("k"));
        assertEquals(List.of("a", "b"), view.texts("l"));
        assertArrayEquals(new double[] {1, 2.5}, view.numbers("v"));
        assertEquals(7, view.objects("m").getFirst().whole("k"));
        assertTrue(view.has("t") && !view.has("null") && !view.has("none"));
        assertEquals(Set.of("t", "n", "d", "b", "null", "o", "l", "v", "m"), view.keys());
        assertEquals(Map.of("k", 1L), view.toMap().get("o"));
        assertFalse(view.toMap().isEmpty());
        assertEquals("x", JsonView.of("g", Map.of("t", "x")).text("t"));
    }

    @Test
    void errorsNameFileKeyPathAndValue() throws IOException {
        JsonView view = JsonView.parse("config.json", "{\"hidden_size\":\"x\",\"layers\":0,\"f\":2.0,\"big\":99999999999,\"huge\":1e999,\"o\":{\"theta\":\"y\",\"l\":[1,\"z\"]},\"m\":[{\"k\":1},2]}");
        fails(() -> view.positive("hidden_size"), "config.json: hidden_size is \"x\", it must be a positive integer");
        fails(() -> view.positive("layers"), "config.json: layers is 0, it must be a positive integer");
        fails(() -> view.positive("f"), "config.json: f is 2.0, it must be a positive integer");
        fails(() -> view.positive("big"), "config.json: big is 99999999999, it must be a positive integer");
        fails(() -> view.whole("huge"), "config.json: huge is 1e999, it must be an integer");
        fails(() -> view.number("huge"), "config.json: huge is 1e999, it must be a number");
        fails(() -> view.positive("hiden_size"), "config.json: hiden_size is missing, it must be a positive integer; near it: \"hidden_size\"");
        fails(() -> view.text("f"), "config.json: f is 2.0, it must be a string");
        fails(() -> view.flag("f"), "config.json: f is 2.0, it must be true or false");
        fails(() -> view.object("f"), "config.json: f is 2.0, it must be an object");
        fails(() -> view.texts("f"), "config.json: f is 2.0, it must be a list of strings");
        fails(() -> view.object("o").number("theta"), "config.json: o.theta is \"y\", it must be a number");
        fails(() -> view.object("o").texts("l"), "config.json: o.l[0] is 1, it must be a string");
        fails(() -> view.object("o").numbers("l"), "config.json: o.l[1] is \"z\", it must be a number");
        fails(() -> view.objects("m"), "config.json: m[1] is 2, it must be an object");
        fails(() -> view.object("o").toTexts(), "config.json: o.l is [1,\"z\"], it must be a string");
        fails(() -> { throw view.fault("f", "even"); }, "config.json: f is 2.0, it must be even");
    }

    @Test
    void filesAreStrictJson() throws IOException {
        Path file = temp.resolve("c.json");
        for (String text : List.of("{\"a\":NaN}", "{'a':1}", "{\"a\":1,}", "{a:1}", "{\"a\":1} x", "{\"a\":\"\t\"}", "{\"a\":01}", "{\"a\":TRUE}", "// c\n{}", "{\"a\":1;}", "{\"a\"=1}")) {
            Files.writeString(file, text);
            fails(() -> JsonView.read(file), "c.json: is not JSON at line ");
        }
        Files.writeString(file, "{\"a\":[1,2}");
        fails(() -> JsonView.read(file), "line 1 column 11 ($.a[2])");
        Files.writeString(file, "{\"a\":");
        fails(() -> JsonView.read(file), "c.json: is not JSON", "$.a");
        Files.writeString(file, "{\"a\":" + "[".repeat(5000));
        fails(() -> JsonView.read(file), "c.json: is not JSON");
        Files.writeString(file, " \n");
        fails(() -> JsonView.read(file), "c.json: is empty");
        Files.writeString(file, "[1]");
        fails(() -> JsonView.read(file), "c.json: is [1], it must be an object");
        Files.write(file, new byte[] {'{', '"', (byte) 0xff, '"', ':', '1', '}'});
        fails(() -> JsonView.read(file), "c.json: byte 2 is not UTF-8");
        fails(() -> JsonView.read(temp.resolve("none.json")), "none.json: does not exist");
        fails(() -> JsonView.read(temp), "is not a file");
    }

    private static void fails(Executable action, String... parts) {
        assertFails(JsonFileException.class, action, parts);
    }
}
