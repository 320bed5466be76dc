package jqlora.data;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import java.io.IOException;
import java.nio.charset.Charset;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import jqlora.format.JsonFileException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Files of instructions and of tokens: what is read, and what is refused, by line. */
class DataFilesTest {
    private static final String GOOD = "{\"instruction\": \"Say a.\", \"output\": \"a\"}";

    @TempDir
    private Path folder;

    private Path file(String text) throws IOException {
        return Files.writeString(folder.resolve("train.jsonl"), text);
    }

    // ---- instructions

    /** JSON Lines, with empty lines and Windows ends of lines; other keys are not read, input may be absent or empty. */
    @Test
    void linesAndArrays() throws IOException {
        List<InstructionRow> expected = List.of(InstructionRow.of("Say a.", "a"), new InstructionRow("翻译", "你好\n世界", "hello\u2028world"), new InstructionRow("", "only input", "b"));
        String second = "{\"instruction\": \"翻译\", \"input\": \"你好\\n世界\", \"output\": \"hello\u2028world\", \"id\": 7}", third = "{\"input\": \"only input\", \"output\": \"b\", \"instruction\": \"\"}";
        assertEquals(expected, InstructionFile.read(file(GOOD + "\n\n" + second + "\r\n" + third)));
        assertEquals(expected, InstructionFile.read(file("\n [" + GOOD + ",\n" + second + ",\n" + third + "]\n")));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {"{\"instruction\": \"b\"}|output is missing, it must be a string", "{\"instruction\": \"b\", \"ouput\": \"c\"}|near it: \"ouput\"",
            "{\"instruction\": 7, \"output\": \"c\"}|instruction is 7, it must be a string", "{\"instruction\": \"b\", \"input\": [], \"output\": \"c\"}|input is [], it must be a string",
            "{\"output\": \"c\"}|instruction and input are both empty", "[1]|is [1], it must be an object", "{\"instruction\": \"b\", \"output\": \"c\"|is not JSON", "plain text|"})
    void everyWrongRowIsNamed(String row, String message) throws IOException {
        Path lines = file(GOOD + "\n\n" + GOOD + "\n" + row + "\n" + GOOD);
        assertFails(JsonFileException.class, () -> InstructionFile.read(lines), lines + ": line 4", message == null ? "" : message);
        if (row.endsWith("}")) {
            Path array = file("[" + GOOD + "," + row + "]");
            assertFails(JsonFileException.class, () -> InstructionFile.read(array), array + ": element 2", message);
        }
    }

    @Test
    void filesWithoutRowsOrInAnotherEncoding() throws IOException {
        for (String nothing : List.of("", "\n \n", "[]")) {
            assertFails(JsonFileException.class, () -> InstructionFile.read(file(nothing)), folder.resolve("train.jsonl") + ": has no rows");
        }
        Path gbk = Files.write(folder.resolve("gbk.jsonl"), "{\"instruction\": \"你好\", \"output\": \"a\"}".getBytes(Charset.forName("GBK")));
        assertFails(JsonFileException.class, () -> InstructionFile.read(gbk), gbk + ": byte 17 is not UTF-8, in line 1");
    }

    /** LLaMA-Factory's form: a system prompt, and earlier turns as pairs. Null and nothing say the same. */
    @Test
    void systemAndHistory() throws IOException {
        String row = "{\"instruction\": \"And in French?\", \"input\": null, \"output\": \"Bonjour\", \"system\": \"You translate.\", \"history\": [[\"Say hello in German.\", \"Hallo\"]]}";
        List<InstructionRow> rows = InstructionFile.read(file(row + "\n{\"instruction\": \"a\", \"output\": \"b\", \"system\": null, \"history\": null}\n{\"instruction\": \"a\", \"output\": \"b\", \"history\": []}"));
        assertEquals(InstructionRow.of("And in French?", "Bonjour").withSystem("You translate.").withHistory(List.of(new Turn("Say hello in German.", "Hallo"))), rows.getFirst());
        assertEquals(List.of(InstructionRow.of("a", "b"), InstructionRow.of("a", "b")), rows.subList(1, 3));
        assertEquals(List.of(), rows.getFirst().origin().unread());
        assertEquals(folder.resolve("train.jsonl") + ": line 1", rows.getFirst().origin().place());
    }

    /** What is in a row and nothing reads is counted, whatever its type; what holds nothing is not. */
    @Test
    void columnsThatAreNotRead() throws IOException {
        Path file = file("{\"instruction\": \"a\", \"output\": \"b\", \"topic\": \"t\", \"tags\": [\"x\"], \"id\": 7, \"empty\": \" \", \"none\": null, \"list\": [[]], \"meta\": {\"k\": \"\"}}\n"
                + "{\"instruction\": \"a\", \"output\": \"b\", \"topic\": \"u\", \"meta\": {\"k\": \"v\"}}");
        UnreadColumns unread = UnreadColumns.of(InstructionFile.read(file));
        assertEquals("topic (2 rows), tags (1 rows), id (1 rows), meta (1 rows)", unread.toString());
        Files.writeString(folder.resolve("test.jsonl"), GOOD);
        assertEquals(folder.getFileName() + ": 2 rows, 1 held out; not read: " + unread, InstructionSet.read(folder).toString());
        try (TextTokenizer tokenizer = TextTokenizer.open(Path.of("models/jqlora-tiny"))) {
            TokenizedSet set = SupervisedTokenizer.of(tokenizer).tokenize(InstructionFile.read(file));
            assertEquals(unread, set.unread());
            assertEquals(List.of("columns that are not read: " + unread + "; only instruction, input, output, system and history are"), set.notices());
            assertEquals(file + ": line 2", set.rows().get(1).source().place());
        }
    }

    /** The mark is taken off before the form is guessed; the file's name does not decide the form. */
    @Test
    void byteOrderMarksAndNames() throws IOException {
        List<InstructionRow> expected = List.of(InstructionRow.of("Say a.", "a"), InstructionRow.of("Say a.", "a"));
        for (String name : List.of("rows.json", "rows.jsonl", "rows")) {
            for (String mark : List.of("", "\ufeff")) {
                assertEquals(expected, InstructionFile.read(Files.writeString(folder.resolve(name), mark + "[" + GOOD + ",\r\n" + GOOD + "]")));
                assertEquals(expected, InstructionFile.read(Files.writeString(folder.resolve(name), mark + GOOD + "\r\n\r\n" + GOOD + "\r\n")));
            }
        }
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {"{\"instruction\": \"b\", \"output\": null}|output is null, it must be a string",
            "{\"instruction\": \"b\", \"output\": \"c\", \"history\": [[\"a\"]]}|history[0] is [a], it must be [instruction, answer], two strings",
            "{\"instruction\": \"b\", \"output\": \"c\", \"history\": [[\"a\", \"b\"], [\"a\", null]]}|history[1] is [a, null]",
            "{\"instruction\": \"b\", \"output\": \"c\", \"history\": \"a\"}|history is \"a\", it must be a list of earlier turns, each [instruction, answer]",
            "{\"instruction\": \"b\", \"output\": \"c\", \"system\": [\"a\"]}|system is [\"a\"], it must be a string",
            "{\"messages\": [{\"role\": \"user\"}]}|the row has \"messages\": of conversations only \"history\" is read",
            "{\"data\": [{\"instruction\": \"b\"}]}|is one object with a list, \"data\"",
            "{\"instruction\": \"b\", \"output\": \"c\", \"output\": \"d\"}|\"output\" occurs twice in one object at ",
            "{\"instruction\": \"b\\ud83d\", \"output\": \"c\"}|instruction has half a character, \\ud83d, at place 2",
            "{\"instruction\": \"b\", \"output\": \"\\ude00\\ud83d\\ude00\"}|output has half a character, \\ude00, at place 1",
            "{\"instruction\": \"b\", \"input\": \"\\ud83d\\ude00\\ud83d.\", \"output\": \"c\"}|input has half a character, \\ud83d, at place 3",
            "{\"instruction\": \"b\", \"output\": \"c\", \"history\": [[\"a\", \"\\udc00\"]]}|history[0][1] has half a character",
            "{\"instruction\": \"b\", \"output\": \"c\",}|the comma before \"}\" is one too many", "{\"instruction\": \"b\", \"output\": NaN}|NaN is no JSON number",
            "{\"instruction\": \"b\", \"output\": None}|None is Python's", "{\"instruction\": \"b\", \"output\": \"c\"|the text ends here",
            "{'instruction': 'b'}|strings and keys must stand in double quotes", "a,b,c|this looks like a table", "{|is \"{\" alone"})
    void whatWouldDoIsTold(String row, String message) throws IOException {
        Path lines = file(GOOD + "\n\n" + GOOD + "\n" + row + "\n" + GOOD);
        assertFails(JsonFileException.class, () -> InstructionFile.read(lines), lines + ": line 4", message);
    }

    /** A null where a string must be is no missing key, and the hint never names the key itself. */
    @Test
    void nullIsNotMissing() throws IOException {
        Path lines = file("{\"instruction\": \"b\", \"output\": null}");
        String message = org.junit.jupiter.api.Assertions.assertThrows(JsonFileException.class, () -> InstructionFile.read(lines)).getMessage();
        assertEquals(lines + ": line 1: output is null, it must be a string", message);
    }

    @Test
    void filesThatAreNoJson() throws IOException {
        byte[] json = (GOOD + "\n").getBytes(java.nio.charset.StandardCharsets.UTF_8);
        java.io.ByteArrayOutputStream packed = new java.io.ByteArrayOutputStream();
        try (java.util.zip.GZIPOutputStream gzip = new java.util.zip.GZIPOutputStream(packed)) {
            gzip.write(json);
        }
        for (Object[] wrong : new Object[][] {{packed.toByteArray(), "is compressed with gzip, it must be plain JSON; unpack it first"}, {("\ufeff" + GOOD).getBytes(java.nio.charset.StandardCharsets.UTF_16LE),
                "is UTF-16, by its byte order mark, it must be UTF-8; save it as UTF-8"}, {GOOD.getBytes(java.nio.charset.StandardCharsets.UTF_16), "is UTF-16, by its byte order mark"},
            {GOOD.getBytes(java.nio.charset.StandardCharsets.UTF_16LE), "byte 1 is 0, as in UTF-16"}, {("\ufeff" + GOOD).getBytes(Charset.forName("UTF-32LE")), "is UTF-32"},
            {"PK\3\4".getBytes(), "is a zip archive"}, {"PAR1".getBytes(), "is a Parquet file"}, {"instruction,output\na,b\n".getBytes(), "line 1: is not JSON, a data set must have one object a line"},
            {"\ufeff".getBytes(java.nio.charset.StandardCharsets.UTF_8), "has no rows"}, {new byte[0], "has no rows"}}) {
            Path file = Files.write(folder.resolve("rows.json"), (byte[]) wrong[0]);
            assertFails(JsonFileException.class, () -> InstructionFile.read(file), file + ": ", (String) wrong[1]);
        }
    }

    @Test
    void setsInFolders() throws IOException {
        for (String name : List.of("en-facts", "zh-riddles")) {
            Files.createDirectories(folder.resolve(name));
            Files.writeString(folder.resolve(name).resolve("train.jsonl"), GOOD + "\n" + GOOD);
        }
        Files.writeString(folder.resolve("en-facts/test.jsonl"), GOOD);
        InstructionSet set = InstructionSet.read(folder.resolve("en-facts"));
        assertEquals("en-facts: 2 rows, 1 held out", set.toString());
        assertEquals("en-facts: 1 rows, 0 held out", set.first(1, 0).toString());
        assertEquals(set, set.first(100, 100));
        InstructionSet other = new InstructionSet("more", List.of(InstructionRow.of("Say b.", "b")), List.of(InstructionRow.of("Say c.", "c")));
        assertEquals("en-facts + more: 3 rows, 2 held out", set.and(other).toString());
        assertEquals(List.of(set.train().getFirst(), set.train().getLast(), other.train().getFirst()), set.and(other).train());
        assertFails(IOException.class, () -> InstructionSet.read(folder.resolve("en-fact")), folder.resolve("en-fact") + ": is not a folder; there are en-facts, zh-riddles");
        assertFails(IOException.class, () -> InstructionSet.read(folder.resolve("zh-riddles")), "test.jsonl");
    }

    @Test
    void oneListOfRowsIsSplit() {
        List<InstructionRow> rows = IntStream.range(0, 50).mapToObj(i -> InstructionRow.of("Say " + i + ".", "" + i)).toList();
        InstructionSet set = InstructionSet.split("own", rows, 10, 42);
        assertEquals("own: 40 rows, 10 held out", set.toString());
        assertEquals(Set.copyOf(rows), Stream.concat(set.train().stream(), set.test().stream()).collect(Collectors.toSet()));
        assertNotEquals(rows.subList(0, 40), set.train(), "in an order drawn by chance");
        assertEquals(set, InstructionSet.split("own", rows, 10, 42));
        assertNotEquals(set, InstructionSet.split("own", rows, 10, 43));
        assertEquals(50, InstructionSet.split("own", rows, 0, 42).train().size());
        for (int wrong : new int[] {-1, 50, 51}) {
            assertFails(IllegalArgumentException.class, () -> InstructionSet.split("own", rows, wrong, 42), "own: testRows is " + wrong + " and there are 50 rows, it must be at least 0 and leave one to train on");
        }
        List<InstructionRow> again = Stream.concat(rows.stream(), rows.stream().skip(10)).toList();
        InstructionSet once = InstructionSet.split("own", again, 10, 42);
        assertEquals(Set.copyOf(rows.subList(0, 10)), Set.copyOf(once.test()), "a row that occurs twice is not held out");
        assertEquals(80, once.train().size());
        assertFails(IllegalArgumentException.class, () -> InstructionSet.split("own", again, 11, 42), "own: testRows is 11, but only 10 of 90 rows occur once; a row that occurs again is not held out");
    }

    // ---- tokens

    private Path tokens(int... ids) throws IOException {
        byte[] bytes = new byte[2 * ids.length];
        for (int i = 0; i < ids.length; i++) {
            bytes[2 * i] = (byte) ids[i];
            bytes[2 * i + 1] = (byte) (ids[i] >> 8);
        }
        return Files.write(folder.resolve("tokens.bin"), bytes);
    }

    /** Unsigned, low byte first; the rest that fills no row is left out. */
    @Test
    void aStreamInRows() throws IOException {
        List<TokenizedRow> rows = TokenFile.rows(tokens(1, 256, 40_000, 65_535, 7, 8, 9), 3, 65_536);
        assertEquals(2, rows.size());
        assertArrayEquals(new int[] {1, 256, 40_000}, rows.get(0).ids());
        assertArrayEquals(new int[] {65_535, 7, 8}, rows.get(1).labels(), "every token is trained on");
    }

    @Test
    void streamsThatDoNotFit() throws IOException {
        Path file = tokens(1, 2, 3, 4, 500, 6);
        assertFails(IOException.class, () -> TokenFile.rows(file, 3, 500), file + ": token id 500 near token 3 must be below the model's vocabulary, 500");
        assertFails(IOException.class, () -> TokenFile.rows(file, 7, 501), file + ": has 6 tokens, it must have at least 7 for one row");
        assertFails(IllegalArgumentException.class, () -> TokenFile.rows(file, 0, 501), "token file: length is 0, it must be at least 1");
        Path odd = Files.write(folder.resolve("odd.bin"), new byte[7]);
        assertFails(IOException.class, () -> TokenFile.rows(odd, 1, 501), odd + ": has 7 bytes, it must have two for each token");
    }
}
