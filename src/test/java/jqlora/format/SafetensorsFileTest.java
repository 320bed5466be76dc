package jqlora.format;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import jqlora.Oracle;
import jqlora.Peers;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SafetensorsFileTest {
    @TempDir
    Path temp;

    @Test
    void verdictsAndTensorsAreTheReferences() throws Exception {
        JsonObject verdicts = Oracle.json(Oracle.path("hostile/verdicts.json")).getAsJsonObject("files");
        List<Path> files = Oracle.list("hostile", "*.safetensors");
        assertEquals(verdicts.size(), files.size());
        for (Path path : files) {
            String name = path.getFileName().toString().replace(".safetensors", "");
            JsonObject verdict = verdicts.getAsJsonObject(name);
            if (verdict.get("accepted").getAsBoolean() && !name.equals("dup_name")) {
                assertTensors(path, verdict.getAsJsonObject("tensors"));
            } else {
                SafetensorsException refused = assertFails(SafetensorsException.class, () -> SafetensorsFile.open(path).close(), path + ": ");
                assertEquals(path, refused.path());
            }
        }
    }

    private static void assertTensors(Path path, JsonObject expected) throws Exception {
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            assertEquals(expected.keySet(), file.infos().keySet(), path.toString());
            for (Map.Entry<String, JsonElement> entry : expected.entrySet()) {
                JsonObject tensor = entry.getValue().getAsJsonObject();
                TensorView view = file.get(entry.getKey());
                assertEquals(tensor.get("dtype").getAsString(), view.dtype().name());
                assertEquals(shape(tensor.getAsJsonArray("shape")), view.shape());
                byte[] hash = MessageDigest.getInstance("SHA-256").digest(view.data().toArray(ValueLayout.JAVA_BYTE));
                assertEquals(tensor.get("sha256").getAsString(), HexFormat.of().formatHex(hash), path + " " + entry.getKey());
            }
        }
    }

    private static Shape shape(JsonArray dims) {
        return Shape.of(dims.asList().stream().mapToLong(JsonElement::getAsLong).toArray());
    }

    @Test
    void headersAreJudgedAsByTheReference() throws IOException {
        assertHeaders(Oracle.fixture("format/header_verdicts.json"));
    }

    @Test
    @Tag("peers")
    void manyMutatedHeadersAreJudgedAsByTheReference() throws Exception {
        Path verdicts = temp.resolve("verdicts.json");
        Peers.run("format/safetensors_headers.py", verdicts, 60000, 2);
        assertHeaders(verdicts);
    }

    /** Each header of {@code verdicts}, with so many zero bytes behind it, is accepted with the same tensors or refused alike. */
    static void assertHeaders(Path verdicts) throws IOException {
        JsonArray cases = Oracle.json(verdicts).getAsJsonArray("cases");
        assertTrue(cases.size() > 100);
        for (JsonElement element : cases) {
            JsonObject expected = element.getAsJsonObject();
            String header = expected.get("header").getAsString();
            if (expected.get("accepted").getAsBoolean()) {
                SafetensorsHeader parsed = SafetensorsHeader.parse(Path.of("x"), header, expected.get("data").getAsLong());
                JsonObject tensors = expected.getAsJsonObject("tensors");
                assertEquals(tensors.keySet(), parsed.tensors().keySet(), header);
                parsed.tensors().forEach((name, info) -> {
                    JsonArray tensor = tensors.getAsJsonArray(name);
                    assertEquals(tensor.get(0).getAsString(), info.dtype().name(), header);
                    assertEquals(shape(tensor.get(1).getAsJsonArray()), info.shape(), header);
                    assertEquals(tensor.get(2).getAsLong(), info.byteSize(), header);
                });
            } else {
                assertThrows(SafetensorsException.class,
                        () -> SafetensorsHeader.parse(Path.of("x"), header, expected.get("data").getAsLong()), header);
            }
        }
    }

    @Test
    void messagesSayWhereAndWhat() throws IOException {
        refused(header("{\"model.norm.weight\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,18]}}", 18),
                "tensor \"model.norm.weight\": data_offsets [0, 18] span 18 bytes, but F32 [4] needs 16");
        refused(header("{\"a\":{\"dtype\":\"F33\",\"shape\":[4],\"data_offsets\":[0,16]}}", 16), "tensor \"a\": dtype \"F33\" is not known", "BF16");
        refused(header("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}}", 6),
                "tensor \"b\": data_offsets [2, 6] begin at 2, but the tensors before it end at 4");
        refused(header("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}", 8),
                "tensor \"a\": data_offsets [4, 8] begin at 4, but the first tensor must begin at 0");
        refused(header("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,0]}}", 8), "tensor \"a\": data_offsets [4, 0] end before they begin");
        refused(header("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 3),
                "its tensors take 4 bytes, but 3 bytes follow the header; the file is cut off");
        refused(header("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 5), "4 bytes, but 5 bytes follow", "longer than it must be");
        refused(header("{\"a\":{\"dtype\":\"U8\",\"shape\":[1]},\"b\":1}", 0), "tensor \"a\": data_offsets is missing");
        refused(header("{\"a\":[\"U8\",[1],[0,1]],\"a\":[\"U8\",[1],[0,1]]}", 1), "tensor \"a\": occurs twice");
        refused(header("{\"a\":[\"U8\",[-1],[0,1]]}", 1), "header, character 12: shape is \"-1],[0,1]]}\", it must be a whole number from 0");
        refused(header("{\"a\":[\"U8\",[4611686018427387904,4],[0,1]]}", 1), "tensor \"a\": shape [4611686018427387904, 4] has more than 2^63 - 1");
        refused(header("{\"a\":[\"F64\",[1152921504606846976],[0,1]]}", 1), "tensor \"a\": F64 [1152921504606846976] has more than 2^63 - 1 bits");
        refused(header("{\"a\":[\"F4\",[3],[0,1]]}", 1), "tensor \"a\": F4: 3 elements have 12 bits");
        refused(header("{\"a\":[\"U8\",[1],[0,1,1]]}", 1), "tensor \"a\": data_offsets has 3 values, it must have 2");
        refused(header("{\"__metadata__\":{\"k\":1}}", 0), "__metadata__ \"k\" is \"1}}\", it must be a string");
        refused(header("{\"a\"", 0), "header, character 4: found the end, it must be ':'");
        refused(new byte[5], "has 5 bytes");
        refused(ByteBuffer.allocate(12).order(ByteOrder.LITTLE_ENDIAN).putLong(5).array(), "the header has 5 bytes, but 4 follow");
        refused(ByteBuffer.allocate(12).order(ByteOrder.LITTLE_ENDIAN).putLong(-1).array(), "18446744073709551615 bytes", "at most 100000000");
        refused(new byte[] {3, 0, 0, 0, 0, 0, 0, 0, '{', (byte) 0xff, '}'}, "header, byte 1: not UTF-8");
        assertFails(SafetensorsException.class, () -> SafetensorsFile.open(temp.resolve("none")), "none: does not exist");
        assertFails(SafetensorsException.class, () -> SafetensorsFile.open(temp), "is not a file");
    }

    @Test
    void malformedHeadersAreShownWhereTheyBreak() throws IOException {
        String[][] cases = {
            {"{\"a\":[]}", "tensor \"a\": its entry is an empty array, it must have 3 values"},
            {"{\"a\":[\"U8\",[1],[0,1],2]}", "tensor \"a\": its entry is an array of more than 3 values"},
            {"{\"a\":[{\"U8\":null,\"I8\":null},[1],[0,1]]}", "tensor \"a\": dtype is an object, it must be a string"},
            {"{\"a\":[8,[1],[0,1]]}", "tensor \"a\": dtype is \"8,[1],[0,1]]\", it must be a string"},
            {"{\"a\":{\"shape\":[1],\"shape\":[1]}}", "tensor \"a\": shape occurs twice"},
            {"{\"__metadata__\":{},\"__metadata__\":{}}", "__metadata__ occurs twice"},
            {"{\"a\":{\"x\":" + "[".repeat(126), "character 136: nested more than 127 levels deep"},
            {"{\"a\":[\"U8\",[01],[0,1]]}", "character 13: a number must not begin with 0"},
            {"{\"a\":{\"x\":1e999}}", "character 10: number \"1e999}}\" is beyond the range of a double"},
            {"{\"a\":{\"x\":1.}}", "character 12: found \"}}\", it must be a digit"},
            {"{\"a\":{\"x\":tru}}", "character 10: found \"tru}}\", it must be a JSON value"},
            {"{\"a\":{\"x\":\"\\ud800x\"}}", "lone surrogate escape"},
            {"{\"a\":{\"x\":\"\\ud800\\u0041\"}}", "lone surrogate escape"},
            {"{\"a\":{\"x\":\"\\u00g0\"}}", "character 15: found \"g0\"}}\", \\u must be followed by four hexadecimal digits"},
            {"{\"a\":{\"x\":\"\\x\"}}", "unknown escape in a string"},
            {"{\"a\":{\"x\":\"\t\"}}", "character 11: control character in a string"},
            {"{\"a", "character 3: the header ends within a string"},
            {"{a:1}", "character 1: found \"a:1}\", a key must be a string"},
            {"{}{", "character 2: found \"{\" after the header's object"},
            {"[]", "character 0: found \"[]\", it must be '{'"}};
        for (String[] expected : cases) {
            refused(header(expected[0], 0), expected[1]);
        }
    }

    private void refused(byte[] bytes, String... parts) throws IOException {
        Path file = Files.write(temp.resolve("model.safetensors"), bytes);
        assertFails(SafetensorsException.class, () -> SafetensorsFile.open(file).close(), parts);
    }

    static byte[] header(String json, int dataSize) {
        byte[] header = json.getBytes(StandardCharsets.UTF_8);
        return ByteBuffer.allocate(8 + header.length + dataSize).order(ByteOrder.LITTLE_ENDIAN).putLong(header.length).put(header).array();
    }

    @Test
    void aMissingTensorIsAnsweredWithNearNames() throws IOException {
        Path path = Files.write(temp.resolve("m.safetensors"), header("{\"lm_head.weight\":[\"U8\",[1],[0,1]]}", 1));
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            SafetensorsException missing = assertFails(SafetensorsException.class, () -> file.get("lm_head.wight"),
                    "m.safetensors: tensor \"lm_head.wight\": is not there; near it: \"lm_head.weight\"");
            assertEquals("lm_head.wight", missing.tensor());
            assertEquals("lm_head.weight U8 [1]", file.tensors().getFirst().toString());
            assertEquals("m.safetensors: 1 tensors, 1 bytes", file.toString());
        }
    }

    @Test
    void hostileNamesAreShownShortAndEscaped() throws IOException {
        Path path = Files.write(temp.resolve("m.safetensors"), header("{\"\\u001b[2J" + "n".repeat(500) + "\":5}", 0));
        assertFails(SafetensorsException.class, () -> SafetensorsFile.open(path), "character", "it must be '{'");
        Path named = Files.write(temp.resolve("n.safetensors"), header("{\"\\u001b[2J" + "n".repeat(500) + "\":{}}", 0));
        SafetensorsException refused = assertFails(SafetensorsException.class, () -> SafetensorsFile.open(named), "\"\\u001b[2Jnnn", "... (504 characters)");
        assertTrue(refused.getMessage().length() < 400);
    }

    @Test
    void mutatedFilesNeverFailInAnotherWay() throws IOException {
        Random random = new Random(7);
        byte[] valid = Files.readAllBytes(Oracle.path("hostile/ok_dtypes.safetensors"));
        int refused = 0;
        for (int trial = 0; trial < 3000; trial++) {
            byte[] bytes = valid.clone();
            for (int edit = random.nextInt(4); edit >= 0; edit--) {
                int at = random.nextBoolean() ? random.nextInt(bytes.length) : random.nextInt(8 + 64);
                bytes[at] = (byte) (random.nextBoolean() ? random.nextInt(256) : "{}[]\",:0123456789eE-. \\un".charAt(random.nextInt(25)));
            }
            if (random.nextInt(4) == 0) {
                bytes = Arrays.copyOf(bytes, random.nextInt(bytes.length + 20));
            }
            Path file = Files.write(temp.resolve("m.safetensors"), bytes);
            try (SafetensorsFile opened = SafetensorsFile.open(file)) {
                for (String name : opened.names()) {
                    opened.get(name).data().toArray(ValueLayout.JAVA_BYTE);
                }
            } catch (SafetensorsException expected) {
                refused++;
            }
        }
        assertTrue(refused > 1000 && refused < 3000, refused + " refused");
    }

    @Test
    void readingAfterCloseIsRefused() throws IOException {
        SafetensorsFile file = SafetensorsFile.open(Oracle.path("hostile/ok_one.safetensors"));
        TensorView view = file.get("a");
        assertEquals(DType.F32, view.dtype());
        file.close();
        file.close();
        assertThrows(IllegalStateException.class, view::toFloats);
    }
}
