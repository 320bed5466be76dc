package jqlora.format;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import jqlora.Oracle;
import jqlora.Peers;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PythonJsonTest {
    @TempDir
    Path temp;

    @Test
    void textIsPythons() throws IOException {
        assertFixture(Oracle.fixture("format/python_json.json"));
    }

    @Test
    @Tag("peers")
    void muchTextIsPythons() throws Exception {
        Path file = temp.resolve("python_json.json");
        Peers.run("format/python_json.py", file, 200_000, 2000, 2);
        assertFixture(file);
    }

    private static void assertFixture(Path fixture) throws IOException {
        JsonObject cases = Oracle.json(fixture);
        assertTrue(cases.getAsJsonArray("floats").size() >= 400);
        for (JsonElement element : cases.getAsJsonArray("floats")) {
            JsonArray pair = element.getAsJsonArray();
            double value = Double.longBitsToDouble(Long.parseUnsignedLong(pair.get(0).getAsString(), 16));
            assertEquals(pair.get(1).getAsString(), PythonJson.defaults().dumps(value));
        }
        for (JsonElement element : cases.getAsJsonArray("spellings")) {
            JsonArray pair = element.getAsJsonArray();
            assertEquals(pair.get(1).getAsString(), PythonJson.defaults().dumps(JsonText.parse("x", pair.get(0).getAsString(), JsonText.Form.FILE)), pair.toString());
        }
        for (JsonElement element : cases.getAsJsonArray("documents")) {
            JsonView document = new JsonView("fixture", "", element.getAsJsonObject());
            PythonJson style = PythonJson.defaults().withIndent((int) document.whole("indent"))
                    .withSortKeys(document.flag("sort_keys")).withEnsureAscii(document.flag("ensure_ascii"));
            JsonView source = JsonView.parse("source", document.text("source"));
            assertEquals(document.text("text"), style.dumps(source));
            assertEquals(document.text("text"), style.dumps(source.toMap()));
        }
    }

    @Test
    void javaValues() {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("z", List.of(1, 2L, (short) 3, (byte) 4, new BigInteger("5"), new BigDecimal("6.50")));
        map.put("a", Arrays.asList(true, null, "t", 0.5f, Map.of()));
        assertEquals("{\"z\": [1, 2, 3, 4, 5, 6.5], \"a\": [true, null, \"t\", 0.5, {}]}", PythonJson.defaults().dumps(map));
        assertEquals("{\n  \"a\": [\n    true,\n    null,\n    \"t\",\n    0.5,\n    {}\n  ],\n  \"z\": [\n    1,\n    2,\n    3,\n    4,\n    5,\n    6.5\n  ]\n}",
                PythonJson.config().dumps(map));
        assertEquals("0.10000000149011612", PythonJson.defaults().dumps(0.1f));
    }

    @Test
    void refusals() {
        for (Object value : new Object[] {Double.NaN, Double.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY, new BigDecimal("1e999")}) {
            assertFails(IllegalArgumentException.class, () -> PythonJson.defaults().dumps(List.of(value)), "JSON number is ", "it must be finite");
        }
        assertFails(IllegalArgumentException.class, () -> PythonJson.defaults().dumps(new int[0]), "JSON value is a [I, it must be a map, a list");
        assertFails(IllegalArgumentException.class, () -> PythonJson.defaults().withIndent(-2), "indent is -2");
    }

    @Test
    void randomTreesComeBack() throws IOException {
        Random random = new Random(11);
        for (int trial = 0; trial < 500; trial++) {
            Map<String, Object> map = new LinkedHashMap<>();
            for (int i = random.nextInt(5); i > 0; i--) {
                map.put(text(random), tree(random, 4));
            }
            PythonJson style = new PythonJson(random.nextInt(4) - 1, false, random.nextBoolean());
            assertEquals(map, JsonView.parse("x", style.dumps(map)).toMap());
        }
    }

    private static Object tree(Random random, int depth) {
        return switch (random.nextInt(depth == 0 ? 6 : 8)) {
            case 0 -> null;
            case 1 -> random.nextBoolean();
            case 2 -> random.nextLong();
            case 3 -> new BigInteger(80, random).setBit(70);
            case 4 -> random.nextGaussian() * Math.pow(10, random.nextInt(40) - 20);
            case 5 -> text(random);
            case 6 -> Stream.generate(() -> tree(random, depth - 1)).limit(random.nextInt(4)).toList();
            default -> {
                Map<String, Object> map = new LinkedHashMap<>();
                for (int i = random.nextInt(4); i > 0; i--) {
                    map.put(text(random), tree(random, depth - 1));
                }
                yield map;
            }
        };
    }

    private static String text(Random random) {
        StringBuilder text = new StringBuilder();
        for (int i = random.nextInt(6); i > 0; i--) {
            text.append((char) (random.nextBoolean() ? random.nextInt(128) : random.nextInt(0xd800)));
        }
        return text.toString();
    }
}
