package jqlora.data;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.charset.Charset;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
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
        assertFails(JsonFileException.class, () -> InstructionFile.read(gbk), gbk + ": is not UTF-8");
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
        assertFails(IOException.class, () -> InstructionSet.read(folder.resolve("en-fact")), folder.resolve("en-fact") + ": is not a folder; there are en-facts, zh-riddles");
        assertFails(IOException.class, () -> InstructionSet.read(folder.resolve("zh-riddles")), "test.jsonl");
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
