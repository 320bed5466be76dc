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

    /** Null where a value must be is told as null, and never with a hint at the key itself; a list's null has its place. */
    @Test
    void nullIsNotAbsent() throws IOException {
        JsonView view = JsonView.parse("c.json", "{\"a\":null,\"l\":[\"x\",null],\"n\":[1,null],\"m\":[null]}");
        fails(() -> view.text("a"), "c.json: a is null, it must be a string");
        fails(() -> view.positive("a"), "c.json: a is null, it must be a positive integer");
        fails(() -> view.flag("a"), "c.json: a is null, it must be true or false");
        fails(() -> view.object("a"), "c.json: a is null, it must be an object");
        fails(() -> view.texts("a"), "c.json: a is null, it must be a list of strings");
        fails(() -> view.texts("l"), "c.json: l[1] is null, it must be a string");
        fails(() -> view.wholes("n"), "c.json: n[1] is null, it must be an integer");
        fails(() -> view.objects("m"), "c.json: m[0] is null, it must be an object");
        assertEquals("c.json: a is null, it must be even", view.fault("a", "even").getMessage());
        assertEquals("y", view.text("a", "y"));
        assertTrue(view.value("a") == null && view.value("none") == null);
        assertEquals(List.of(1L, 2.5), JsonView.parse("c", "{\"v\":[1,2.5]}").value("v"));
    }

    /** Of a key that occurs twice in a file of settings, the last counts, as in Python. */
    @Test
    void theLastOfTwoKeysCounts() throws IOException {
        assertEquals(2, JsonView.parse("c.json", "{\"a\":1,\"a\":2}").whole("a"));
        fails(() -> JsonView.parseLine("r.jsonl", 3, "{\"a\":1,\"o\":{\"k\":1,\"k\":2}}"), "r.jsonl: line 3: \"k\" occurs twice in one object at column ");
        fails(() -> JsonView.parseArray("r.json", "[{},\n{\"a\":1,\"a\":2}]"), "r.json: \"a\" occurs twice in one object at line 2 column ");
    }

    /** A byte order mark in front is taken off; files that are something else are told as what they are. */
    @Test
    void marksAndOtherFiles() throws IOException {
        Path file = temp.resolve("c.json");
        Files.writeString(file, "\ufeff{\"a\":1}\r\n");
        assertEquals(1, JsonView.read(file).whole("a"));
        assertEquals(1, HfConfig.read(Files.move(file, temp.resolve("config.json")).getParent()).values().whole("a"));
        Files.write(file, "{\"a\":1}".getBytes(java.nio.charset.StandardCharsets.UTF_16));
        fails(() -> JsonView.read(file), "c.json: is UTF-16, by its byte order mark, it must be UTF-8; save it as UTF-8");
        Files.writeString(file, "\ufeff");
        fails(() -> JsonView.read(file), "c.json: is empty");
    }

    /** What is often written wrongly is named. */
    @Test
    void mistakesAreNamed() throws IOException {
        for (String[] wrong : new String[][] {{"{\"a\":1,\n}", ": the comma before \"}\" is one too many"}, {"{\"a\":[1,2,]}", ": the comma before \"]\" is one too many"},
                {"{\"a\":NaN}", ": NaN is no JSON number"}, {"{\"a\":-Infinity}", ": -Infinity is no JSON number"}, {"{\"a\":True}", ": True is Python's"},
                {"{\"a\":None}", ": None is Python's"}, {"{'a':1}", ": strings and keys must stand in double quotes"}, {"{\"a\":1", ": the text ends here"}}) {
            fails(() -> JsonView.parse("c.json", wrong[0]), "c.json: is not JSON at line ", wrong[1]);
        }
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
