package jqlora.format;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonPrimitive;
import com.google.gson.Strictness;
import com.google.gson.ToNumberPolicy;
import com.google.gson.stream.JsonReader;
import java.io.IOException;
import java.io.StringReader;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Text to JSON trees by RFC 8259. */
final class JsonText {
    private static final Pattern PLACE = Pattern.compile("line (\\d+) column (\\d+) path (\\S+)");

    private JsonText() { }

    /** What the text is part of. */
    enum Form {
        /** A file of settings: of a key that occurs twice, the last counts, as in Python. */
        FILE,
        /** A file of rows to learn from: a key that occurs twice is refused, since one of its texts would be lost. */
        ROWS,
        /** As {@link #ROWS}, one line of it; the line's number is told by the caller. */
        LINE
    }

    /** @throws JsonFileException if the file is not there, or not JSON in UTF-8 */
    static JsonElement read(Path file) throws IOException {
        return parse(file.toString(), Utf8File.read(file), Form.FILE);
    }

    /** @param file the name that stands in front of error messages */
    static JsonElement parse(String file, String text, Form form) throws JsonFileException {
        if (text.isBlank()) {
            throw new JsonFileException(file, "is empty, it must be JSON");
        }
        JsonReader reader = new JsonReader(new StringReader(text));
        reader.setStrictness(Strictness.STRICT);
        try {
            JsonElement tree = tree(reader, file, form);
            reader.peek();                                        // refuses what follows the value
            return tree;
        } catch (JsonFileException repeated) {
            throw repeated;
        } catch (JsonParseException | IOException | IllegalStateException malformed) {
            Matcher place = PLACE.matcher(String.valueOf(malformed.getMessage()));
            throw new JsonFileException(file, "is not JSON" + (place.find() ? " at " + shown(place, form)
                    + JsonMistake.of(text, Integer.parseInt(place.group(1)),
                    Integer.parseInt(place.group(2))) : "; it may be cut off or nested too deeply"));
        }
    }

    /** Where the parser stopped; its own text advises on options of the parser, which are of no use to a reader of the file. */
    private static String shown(Matcher place, Form form) {
        return (form == Form.LINE ? "" : "line " + place.group(1) + " ") + "column " + place.group(2) + " (" + place.group(3) + ")";
    }

    /** The reader's own limit on nesting bounds the depth of the recursion. */
    private static JsonElement tree(JsonReader reader, String file, Form form) throws IOException {
        return switch (reader.peek()) {
            case BEGIN_OBJECT -> object(reader, file, form);
            case BEGIN_ARRAY -> {
                JsonArray array = new JsonArray();
                reader.beginArray();
                while (reader.hasNext()) {
                    array.add(tree(reader, file, form));
                }
                reader.endArray();
                yield array;
            }
            case STRING -> new JsonPrimitive(reader.nextString());
            case NUMBER -> new JsonPrimitive(ToNumberPolicy.LAZILY_PARSED_NUMBER.readNumber(reader));
            case BOOLEAN -> new JsonPrimitive(reader.nextBoolean());
            case NULL -> {
                reader.nextNull();
                yield JsonNull.INSTANCE;
            }
            default -> throw new JsonParseException("no value" + reader);
        };
    }

    private static JsonObject object(JsonReader reader, String file, Form form) throws IOException {
        JsonObject object = new JsonObject();
        reader.beginObject();
        while (reader.hasNext()) {
            String key = reader.nextName();
            if (form != Form.FILE && object.has(key)) {
                Matcher place = PLACE.matcher(reader.toString());
                throw new JsonFileException(file, Quoted.of(key) + " occurs twice in one object" + (place.find() ? " at "
                        + shown(place, form) : "")
                        + ", it must occur once: only one of the two values could be read; take one of them out");
            }
            object.add(key, tree(reader, file, form));
        }
        reader.endObject();
        return object;
    }
}
