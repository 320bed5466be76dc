package jqlora.format;

import com.google.gson.JsonElement;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import java.io.IOException;
import java.io.StringReader;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Text to JSON trees by RFC 8259; of a key that occurs twice, the last counts, as in Python. */
final class JsonText {
    private static final Pattern PLACE = Pattern.compile("(line \\d+ column \\d+) path (\\S+)");

    private JsonText() { }

    /** @throws JsonFileException if the file is not there, or not JSON in UTF-8 */
    static JsonElement read(Path file) throws IOException {
        return parse(file.toString(), text(file));
    }

    /** The file's text. */
    static String text(Path file) throws IOException {
        if (!Files.isRegularFile(file)) {
            throw new JsonFileException(file.toString(), Files.exists(file) ? "is not a file" : "does not exist");
        }
        ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(file));
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(bytes).toString();
        } catch (CharacterCodingException malformed) {
            throw new JsonFileException(file.toString(), "byte " + bytes.position() + " is not UTF-8, the file must be JSON in UTF-8");
        }
    }

    /** @param file the name that stands in front of error messages */
    static JsonElement parse(String file, String text) throws JsonFileException {
        if (text.isBlank()) {
            throw new JsonFileException(file, "is empty, it must be JSON");
        }
        JsonReader reader = new JsonReader(new StringReader(text));
        reader.setStrictness(Strictness.STRICT);
        try {
            JsonElement tree = JsonParser.parseReader(reader);
            reader.peek();                                        // refuses what follows the value
            return tree;
        } catch (JsonParseException | IOException malformed) {
            throw new JsonFileException(file, "is not JSON" + place(malformed));
        }
    }

    /** Where the parser stopped; its own text advises on options of the parser, which are of no use to a reader of the file. */
    private static String place(Exception malformed) {
        Matcher matcher = PLACE.matcher(String.valueOf(malformed.getMessage()));
        return matcher.find() ? " at " + matcher.group(1) + " (" + matcher.group(2) + ")" : "; it may be cut off or nested too deeply";
    }
}
