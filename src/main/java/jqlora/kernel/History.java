package jqlora.kernel;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import jqlora.format.JsonFileException;
import jqlora.format.JsonView;
import jqlora.format.PythonJson;

/** The cells that were run in this notebook and in those before, in a file of one JSON object a line; where it cannot be written, those of now. */
final class History {
    private static final int MAX_KEPT = 5_000;
    private static final int MAX_CELL = 100_000;

    private final Path file;
    private final List<Entry> entries = new ArrayList<>();
    private final int session;

    /** A cell: number of the kernel's run, number of the cell in it, its source. */
    record Entry(int session, int line, String input) {
        private static Entry of(JsonView view) throws JsonFileException {
            return new Entry((int) view.whole("session"), (int) view.whole("line"), view.text("input"));
        }

        private String toJson() {
            Map<String, Object> map = new LinkedHashMap<>();
            map.put("session", session);
            map.put("line", line);
            map.put("input", input);
            return PythonJson.defaults().dumps(map);
        }
    }

    /** @param file need not exist; lines of it that are none are left out */
    History(Path file) {
        this.file = file;
        entries.addAll(read(file));
        session = entries.stream().mapToInt(Entry::session).max().orElse(0) + 1;
        if (entries.size() > 2 * MAX_KEPT) {
            entries.subList(0, entries.size() - MAX_KEPT).clear();
            rewrite();
        }
    }

    private static List<Entry> read(Path file) {
        List<Entry> entries = new ArrayList<>();
        try {
            for (String line : Files.isRegularFile(file) ? Files.readAllLines(file) : List.<String>of()) {
                try {
                    entries.add(Entry.of(JsonView.parse(file.toString(), line)));
                } catch (JsonFileException torn) {
                    continue;                                     // written by two at once, or half
                }
            }
        } catch (IOException unreadable) {
            return new ArrayList<>();                             // a notebook works without
        }
        return entries;
    }

    /** Adds the cell number {@code line} of this session. */
    synchronized void add(int line, String input) {
        Entry entry = new Entry(session, line, input);
        if (input.isBlank() || input.length() > MAX_CELL) {
            return;
        }
        entries.add(entry);
        try {
            Files.createDirectories(file.getParent());
            Files.writeString(file, entry.toJson() + "\n", StandardCharsets.UTF_8, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        } catch (IOException readOnly) {
            return;                                               // this session has it all the same
        }
    }

    private void rewrite() {
        try {
            Path fresh = Files.createTempFile(file.getParent(), "history", ".tmp");
            Files.write(fresh, entries.stream().map(Entry::toJson).toList());
            Files.move(fresh, file, StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException readOnly) {
            return;
        }
    }

    /** The last {@code n} cells, oldest first. */
    synchronized List<Entry> tail(int n) {
        return last(entries, n);
    }

    /** The cells {@code start} to {@code stop} of a session: 0 is this one, -1 the one before; {@code stop} of 0 or less means to its end. */
    synchronized List<Entry> range(int of, int start, int stop) {
        int wanted = of > 0 ? of : session + of;
        return entries.stream().filter(one -> one.session == wanted && one.line >= start && (stop <= 0 || one.line < stop)).toList();
    }

    /** The last {@code n} cells that {@code glob} fits, in which * and ? stand for anything; {@code unique} leaves out earlier equal ones. */
    synchronized List<Entry> search(String glob, int n, boolean unique) {
        String regex = glob.chars().mapToObj(c -> c == '*' ? ".*" : c == '?' ? "." : Pattern.quote(String.valueOf((char) c))).collect(Collectors.joining());
        Pattern pattern = Pattern.compile(regex, Pattern.DOTALL);
        List<Entry> found = entries.stream().filter(one -> pattern.matcher(one.input).matches()).toList();
        if (unique) {
            Map<String, Entry> newest = new LinkedHashMap<>();
            found.forEach(one -> {
                newest.remove(one.input);
                newest.put(one.input, one);
            });
            found = List.copyOf(newest.values());
        }
        return last(found, n);
    }

    private static List<Entry> last(List<Entry> all, int n) {
        return List.copyOf(all.subList(Math.max(0, n <= 0 ? 0 : all.size() - n), all.size()));
    }
}
