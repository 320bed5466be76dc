package jqlora.format;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import jqlora.tensor.NearNames;

/**
 * An object of a JSON file, read strictly: a value of the wrong kind is an error that names the file, the key's path, the value and
 * what it must be. A key whose value is null counts as absent where a value may be absent; where it must be there, the error says that it
 * is null.
 *
 * @param file stands in front of error messages: the file's path or name
 * @param path where in the file the object is, such as {@code rope_parameters.}; empty for the whole file
 */
public record JsonView(String file, String path, JsonObject object) {
    /**
     * The object that the file holds.
     *
     * @throws JsonFileException if there is no such file, or it does not hold a JSON object in UTF-8
     */
    public static JsonView read(Path file) throws IOException {
        return whole(file.toString(), JsonText.read(file));
    }

    /** As {@link #read}, of a text.
     * @param file the name that stands in front of error messages */
    public static JsonView parse(String file, String text) throws JsonFileException {
        return whole(file, JsonText.parse(file, text, JsonText.Form.FILE));
    }

    /**
     * The object in one line of a file of rows.
     *
     * @param line the line's number, from 1
     * @throws JsonFileException if it is not an object, or has a key twice
     */
    public static JsonView parseLine(String file, int line, String text) throws JsonFileException {
        String place = file + ": line " + line;
        return whole(place, JsonText.parse(place, text, JsonText.Form.LINE));
    }

    /**
     * The objects of the array of rows that {@code text} holds, each under its number from 1.
     *
     * @throws JsonFileException if it is not an array of objects, or one of them has a key twice
     */
    public static List<JsonView> parseArray(String file, String text) throws JsonFileException {
        JsonElement tree = JsonText.parse(file, text, JsonText.Form.ROWS);
        if (!tree.isJsonArray()) {
            throw new JsonFileException(file, "is " + shown(tree) + ", it must be an array");
        }
        List<JsonView> objects = new ArrayList<>();
        for (JsonElement element : tree.getAsJsonArray()) {
            objects.add(whole(file + ": element " + (objects.size() + 1), element));
        }
        return objects;
    }

    /** An object made of {@code values}: maps, iterables, strings, numbers, booleans and nulls. */
    public static JsonView of(String file, Map<String, ?> values) {
        return new JsonView(file, "", JsonTrees.of(values).getAsJsonObject());
    }

    private static JsonView whole(String file, JsonElement tree) throws JsonFileException {
        if (!tree.isJsonObject()) {
            throw new JsonFileException(file, "is " + shown(tree) + ", it must be an object");
        }
        return new JsonView(file, "", tree.getAsJsonObject());
    }

    /** The keys, in the order of the file; one whose value is null too. */
    public Set<String> keys() {
        return object.keySet();
    }

    /** Whether the value says something: it is there, and not null, false, an empty list or an empty object. */
    public boolean isSet(String key) {
        JsonElement value = object.get(key);
        return has(key) && !(value.isJsonObject() && value.getAsJsonObject().isEmpty() || value.isJsonArray() && value.getAsJsonArray().isEmpty()
                || value.isJsonPrimitive() && value.getAsJsonPrimitive().isBoolean() && !value.getAsBoolean());
    }

    /** Whether the value is an array. */
    public boolean isArray(String key) {
        return has(key) && object.get(key).isJsonArray();
    }

    /** Whether the value is an object. */
    public boolean isObject(String key) {
        return has(key) && object.get(key).isJsonObject();
    }

    /** Whether the key is there and its value is not null. */
    public boolean has(String key) {
        JsonElement value = object.get(key);
        return value != null && !value.isJsonNull();
    }

    /** The whole object as maps, lists, strings, {@link Long}, {@link Double}, {@link java.math.BigInteger}, {@link Boolean} and null. */
    @SuppressWarnings("unchecked")
    public Map<String, Object> toMap() {
        return (Map<String, Object>) JsonTrees.toJava(object);
    }

    /** The value at {@code key} as {@link #toMap} has it; null if it is null or absent. */
    public Object value(String key) {
        return has(key) ? JsonTrees.toJava(object.get(key)) : null;
    }

    /** The string at {@code key}. */
    public String text(String key) throws JsonFileException {
        return asText(key, required(key, "a string"));
    }

    public String text(String key, String fallback) throws JsonFileException {
        return has(key) ? text(key) : fallback;
    }

    /** The whole number at {@code key}; one with a fraction or exponent is refused. */
    public long whole(String key) throws JsonFileException {
        return asWhole(key, required(key, "an integer"), Long.MIN_VALUE, Long.MAX_VALUE, "an integer");
    }

    public long whole(String key, long fallback) throws JsonFileException {
        return has(key) ? whole(key) : fallback;
    }

    /** The number from 1 to 2^31 - 1 at {@code key}. */
    public int positive(String key) throws JsonFileException {
        return (int) asWhole(key, required(key, "a positive integer"), 1, Integer.MAX_VALUE, "a positive integer");
    }

    public int positive(String key, int fallback) throws JsonFileException {
        return has(key) ? positive(key) : fallback;
    }

    /** The number at {@code key}, with or without a fraction. */
    public double number(String key) throws JsonFileException {
        JsonElement value = required(key, "a number");
        double number = isNumber(value) ? value.getAsDouble() : Double.NaN;
        if (!Double.isFinite(number)) {
            throw wrong(key, value, "a number");
        }
        return number;
    }

    public double number(String key, double fallback) throws JsonFileException {
        return has(key) ? number(key) : fallback;
    }

    /** The boolean at {@code key}. */
    public boolean flag(String key) throws JsonFileException {
        JsonElement value = required(key, "true or false");
        if (!(value instanceof JsonPrimitive primitive && primitive.isBoolean())) {
            throw wrong(key, value, "true or false");
        }
        return primitive.getAsBoolean();
    }

    public boolean flag(String key, boolean fallback) throws JsonFileException {
        return has(key) ? flag(key) : fallback;
    }

    /** The object at {@code key}. */
    public JsonView object(String key) throws JsonFileException {
        JsonElement value = required(key, "an object");
        if (!value.isJsonObject()) {
            throw wrong(key, value, "an object");
        }
        return new JsonView(file, path + key + ".", value.getAsJsonObject());
    }

    /** The list of strings at {@code key}. */
    public List<String> texts(String key) throws JsonFileException {
        List<String> texts = new ArrayList<>();
        for (JsonElement element : array(key, "a list of strings")) {
            texts.add(asText(key + "[" + texts.size() + "]", element));
        }
        return List.copyOf(texts);
    }

    /** The list of whole numbers at {@code key}. */
    public long[] wholes(String key) throws JsonFileException {
        JsonArray array = array(key, "a list of integers");
        long[] wholes = new long[array.size()];
        for (int i = 0; i < wholes.length; i++) {
            wholes[i] = asWhole(key + "[" + i + "]", array.get(i), Long.MIN_VALUE, Long.MAX_VALUE, "an integer");
        }
        return wholes;
    }

    /** The list of numbers at {@code key}. */
    public double[] numbers(String key) throws JsonFileException {
        JsonArray array = array(key, "a list of numbers");
        double[] numbers = new double[array.size()];
        for (int i = 0; i < numbers.length; i++) {
            if (!isNumber(array.get(i))) {
                throw wrong(key + "[" + i + "]", array.get(i), "a number");
            }
            numbers[i] = array.get(i).getAsDouble();
        }
        return numbers;
    }

    /** The list of objects at {@code key}. */
    public List<JsonView> objects(String key) throws JsonFileException {
        List<JsonView> objects = new ArrayList<>();
        for (JsonElement element : array(key, "a list of objects")) {
            String place = key + "[" + objects.size() + "]";
            if (!element.isJsonObject()) {
                throw wrong(place, element, "an object");
            }
            objects.add(new JsonView(file, path + place + ".", element.getAsJsonObject()));
        }
        return List.copyOf(objects);
    }

    /** This object as a map from key to string. */
    public Map<String, String> toTexts() throws JsonFileException {
        Map<String, String> texts = new LinkedHashMap<>();
        for (Map.Entry<String, JsonElement> entry : object.entrySet()) {
            texts.put(entry.getKey(), asText(entry.getKey(), entry.getValue()));
        }
        return texts;
    }

    /** The error that the value at {@code key} is not what it must be, or null, or missing.
     * @param must what it must be, such as {@code a positive integer} */
    public JsonFileException fault(String key, String must) {
        return object.has(key) ? wrong(key, object.get(key), must)
                : new JsonFileException(file, path + key + " is missing, it must be " + must + NearNames.hint(key, keys()));
    }

    private JsonElement required(String key, String must) throws JsonFileException {
        if (!has(key)) {
            throw fault(key, must);
        }
        return object.get(key);
    }

    private JsonArray array(String key, String must) throws JsonFileException {
        JsonElement value = required(key, must);
        if (!value.isJsonArray()) {
            throw wrong(key, value, must);
        }
        return value.getAsJsonArray();
    }

    private String asText(String key, JsonElement value) throws JsonFileException {
        if (!(value instanceof JsonPrimitive primitive && primitive.isString())) {
            throw wrong(key, value, "a string");
        }
        return primitive.getAsString();
    }

    private long asWhole(String key, JsonElement value, long smallest, long largest, String must) throws JsonFileException {
        if (!(isNumber(value) && PythonNumber.of(value.getAsNumber()) instanceof Long whole && whole >= smallest && whole <= largest)) {
            throw wrong(key, value, must);
        }
        return whole;
    }

    private static boolean isNumber(JsonElement value) {
        return value instanceof JsonPrimitive primitive && primitive.isNumber();
    }

    private JsonFileException wrong(String key, JsonElement value, String must) {
        return new JsonFileException(file, path + key + " is " + shown(value) + ", it must be " + must);
    }

    private static String shown(JsonElement value) {
        String text = value.toString();
        return text.length() <= 80 ? text : text.substring(0, 80) + "...";
    }
}
