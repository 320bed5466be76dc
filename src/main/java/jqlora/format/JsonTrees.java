package jqlora.format;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** JSON trees from maps, lists, strings, numbers, booleans and nulls, and back: what rooms without the JSON library use. */
final class JsonTrees {
    private JsonTrees() { }

    /** @throws IllegalArgumentException for any other class of value */
    static JsonElement of(Object value) {
        return switch (value) {
            case null -> JsonNull.INSTANCE;
            case JsonElement tree -> tree;
            case JsonView view -> view.object();
            case String text -> new JsonPrimitive(text);
            case Boolean flag -> new JsonPrimitive(flag);
            case Number number -> new JsonPrimitive(number);
            case Iterable<?> values -> {
                JsonArray array = new JsonArray();
                values.forEach(element -> array.add(of(element)));
                yield array;
            }
            case Map<?, ?> map -> {
                JsonObject object = new JsonObject();
                map.forEach((key, element) -> object.add(String.valueOf(key), of(element)));
                yield object;
            }
            default -> throw new IllegalArgumentException("JSON value is a " + value.getClass().getName()
                    + ", it must be a map, a list, a string, a number, a boolean or null");
        };
    }

    /** Maps and lists of strings, {@link Long}, {@link Double}, {@link java.math.BigInteger}, {@link Boolean} and null. */
    static Object toJava(JsonElement tree) {
        if (tree.isJsonObject()) {
            Map<String, Object> map = new LinkedHashMap<>();
            tree.getAsJsonObject().entrySet().forEach(entry -> map.put(entry.getKey(), toJava(entry.getValue())));
            return map;
        }
        if (tree.isJsonArray()) {
            List<Object> list = new ArrayList<>();
            tree.getAsJsonArray().forEach(element -> list.add(toJava(element)));
            return list;
        }
        if (tree.isJsonNull()) {
            return null;
        }
        JsonPrimitive value = tree.getAsJsonPrimitive();
        if (value.isString()) {
            return value.getAsString();
        }
        return value.isBoolean() ? (Object) value.getAsBoolean() : PythonNumber.of(value.getAsNumber());
    }
}
