package jqlora.data;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import jqlora.format.JsonFileException;
import jqlora.format.JsonView;
import jqlora.format.Utf8File;

/**
 * Instruction rows in a file: JSON Lines, one object a line, or one JSON array of objects; in UTF-8, with or without a byte order mark.
 * Which of the two it is follows from its first character, not from its name. Keys:
 *
 * <ul>
 * <li>{@code instruction}, {@code input} (either may be absent or null) and {@code output}, as in the Alpaca data;
 * <li>{@code system}, the system prompt, and {@code history}, earlier turns as a list of {@code [instruction, answer]}, as in
 * LLaMA-Factory's form of it.
 * </ul>
 *
 * Other keys are not read; which of them held something is in each row's {@link InstructionRow#origin}.
 */
public final class InstructionFile {
    private static final Set<String> READ = Set.of("instruction", "input", "output", "system", "history");
    private static final List<String> TALKS = List.of("messages", "conversations", "conversation", "chosen", "rejected");

    private InstructionFile() { }

    /**
     * All rows of {@code file}.
     *
     * @throws IOException if it cannot be read, is empty, or a row is not as it must be; the message names the row and the key
     */
    public static List<InstructionRow> read(Path file) throws IOException {
        String text = Utf8File.read(file);
        List<JsonView> objects = text.stripLeading().startsWith("[") ? JsonView.parseArray(file.toString(), text) : lines(file, text);
        List<InstructionRow> rows = new ArrayList<>();
        for (JsonView object : objects) {
            rows.add(row(object));
        }
        if (rows.isEmpty()) {
            throw new JsonFileException(file.toString(), "has no rows, a data set must have at least one");
        }
        return rows;
    }

    private static List<JsonView> lines(Path file, String text) throws IOException {
        List<JsonView> objects = new ArrayList<>();
        int number = 0;
        for (String line : text.split("\n")) {
            number++;
            if (!line.isBlank()) {
                objects.add(line(file, number, line.strip()));
            }
        }
        return objects;
    }

    private static JsonView line(Path file, int number, String line) throws JsonFileException {
        if ("{[\"".indexOf(line.charAt(0)) < 0) {
            boolean table = line.contains(",") || line.contains("\t") || line.contains(";");
            throw new JsonFileException(file + ": line " + number, "is not JSON, a data set must have one object a line, or be one array"
                    + " of objects"
                    + (table ? "; this looks like a table (CSV or TSV): export it, as with pandas'"
                    + " read_csv(...).to_json(..., orient=\"records\", lines=True)" : ""));
        }
        if (line.equals("{")) {
            throw new JsonFileException(file + ": line " + number, "is \"{\" alone, a data set must have one whole object a line, or be"
                    + " one array of objects;"
                    + " put the objects into [ ] with commas between, or each on one line");
        }
        return JsonView.parseLine(file.toString(), number, line);
    }

    private static InstructionRow row(JsonView object) throws JsonFileException {
        requireOutput(object);
        try {
            List<String> unread = object.keys().stream().filter(key -> !READ.contains(key) && isUnread(object.value(key))).toList();
            return new InstructionRow(object.text("instruction", ""), object.text("input", ""), object.text("output"),
                    object.text("system", ""), history(object), new RowOrigin(object.file(), unread));
        } catch (IllegalArgumentException wrong) {
            throw new JsonFileException(object.file(), wrong.getMessage());
        }
    }

    private static void requireOutput(JsonView object) throws JsonFileException {
        if (object.keys().contains("output")) {
            return;
        }
        for (String key : TALKS) {
            if (object.has(key)) {
                throw new JsonFileException(object.file(), "output is missing, it must be a string; the row has \"" + key
                        + "\": of conversations only \"history\" is read, a list of"
                        + " [instruction, answer], with the last instruction and answer in \"instruction\" and \"output\"; write the rows"
                        + " in that form");
            }
        }
        for (String key : object.keys()) {
            if (!object.has("instruction") && object.isArray(key)) {
                throw new JsonFileException(object.file(), "is one object with a list, \"" + key
                        + "\"; a data set must have one object for each row, one a line or in one array;"
                        + " write the list alone into the file");
            }
        }
        throw object.fault("output", "a string, the answer to be learned");
    }

    /** Earlier turns: null, or a list of pairs. */
    private static List<Turn> history(JsonView object) throws JsonFileException {
        if (!object.has("history")) {
            return List.of();
        }
        String must = "a list of earlier turns, each [instruction, answer]";
        if (!(object.value("history") instanceof List<?> pairs)) {
            throw object.fault("history", must);
        }
        List<Turn> turns = new ArrayList<>();
        for (Object pair : pairs) {
            if (!(pair instanceof List<?> texts && texts.size() == 2 && texts.get(0) instanceof String instruction
                    && texts.get(1) instanceof String answer)) {
                throw new JsonFileException(object.file(), "history[" + turns.size() + "] is " + shown(pair)
                        + ", it must be [instruction, answer], two strings");
            }
            turns.add(new Turn(instruction, answer));
        }
        return turns;
    }

    private static String shown(Object value) {
        String text = value instanceof String string ? "\"" + string + "\"" : String.valueOf(value);
        return text.length() <= 80 ? text : text.substring(0, 80) + "...";
    }

    private static boolean isUnread(Object value) {
        return switch (value) {
            case null -> false;
            case String text -> !text.isBlank();
            case List<?> list -> list.stream().anyMatch(InstructionFile::isUnread);
            case Map<?, ?> map -> map.values().stream().anyMatch(InstructionFile::isUnread);
            default -> true;
        };
    }
}
