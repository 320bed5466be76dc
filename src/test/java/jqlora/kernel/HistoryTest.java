package jqlora.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class HistoryTest {
    private static List<String> inputs(List<History.Entry> entries) {
        return entries.stream().map(History.Entry::input).toList();
    }

    @Test
    void cellsOutliveTheirSession(@TempDir Path folder) throws IOException {
        Path file = folder.resolve("sub").resolve("history.jsonl");
        History first = new History(file);
        first.add(1, "int a = 1;");
        first.add(2, "multi\nline \"quoted\"");
        Files.writeString(file, "{torn\n", StandardOpenOption.APPEND);
        History second = new History(file);
        second.add(1, "int a = 1;");
        assertEquals(List.of("multi\nline \"quoted\"", "int a = 1;"), inputs(second.tail(2)));
        assertEquals(List.of("int a = 1;"), inputs(second.range(0, 1, 2)));
        assertEquals(List.of("int a = 1;", "multi\nline \"quoted\""), inputs(second.range(-1, 1, 0)));
        assertEquals(List.of("multi\nline \"quoted\""), inputs(second.search("*line*", 5, false)));
        assertEquals(2, second.search("int ?*", 5, false).size());
        assertEquals(1, second.search("int ?*", 5, true).size());
        assertEquals(List.of(), second.search("a.*", 5, true));
    }

    @Test
    void whereNothingCanBeWrittenThisSessionIsKept() {
        History history = new History(Path.of("/proc/none/history.jsonl"));
        history.add(1, "x");
        assertEquals(List.of("x"), inputs(history.tail(10)));
    }
}
