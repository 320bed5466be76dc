package jqlora.data;

import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import jqlora.format.JsonFileException;
import jqlora.format.JsonView;

/**
 * Instruction rows in a file: JSON Lines, one object a line, or one JSON array of objects; with the keys {@code instruction},
 * {@code input} (may be absent) and {@code output}. Other keys are not read.
 */
public final class InstructionFile {
    private InstructionFile() { }

    /**
     * All rows of {@code file}.
     *
     * @throws IOException if it cannot be read, is empty, or a row is not as it must be; the message names the row
     */
    public static List<InstructionRow> read(Path file) throws IOException {
        String text = text(file);
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

    private static String text(Path file) throws IOException {
        try {
            return Files.readString(file);
        } catch (CharacterCodingException malformed) {
            throw new JsonFileException(file.toString(), "is not UTF-8, a data set must be JSON in UTF-8");
        }
    }

    private static List<JsonView> lines(Path file, String text) throws IOException {
        List<JsonView> objects = new ArrayList<>();
        int number = 0;
        for (String line : text.split("\n")) {
            number++;
            if (!line.isBlank()) {
                objects.add(JsonView.parse(file + ": line " + number, line));
            }
        }
        return objects;
    }

    private static InstructionRow row(JsonView object) throws JsonFileException {
        try {
            return new InstructionRow(object.text("instruction", ""), object.text("input", ""), object.text("output"));
        } catch (IllegalArgumentException empty) {
            throw new JsonFileException(object.file(), empty.getMessage());
        }
    }
}
