package jqlora.format;

import com.google.gson.JsonElement;
import com.google.gson.JsonPrimitive;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/**
 * Text exactly as Python's {@code json.dumps} writes it, so that a file of ours is bit for bit one of the Python stack's.
 *
 * @param indent spaces a level, each member on its own line; {@link #ONE_LINE} for none, as Python's {@code indent=None}
 * @param sortKeys whether keys are in the order of their code points, else in the order of the tree
 * @param ensureAscii whether characters beyond ASCII are escaped
 * @see <a href="https://docs.python.org/3/library/json.html#json.dumps">json.dumps</a>
 */
public record PythonJson(int indent, boolean sortKeys, boolean ensureAscii) {
    /** No line breaks; a space after each comma and colon. */
    public static final int ONE_LINE = -1;

    private static final Comparator<Map.Entry<String, JsonElement>> BY_CODE_POINT = Comparator.comparing(
            entry -> entry.getKey().codePoints().toArray(), Arrays::compare);

    public PythonJson {
        if (indent < ONE_LINE) {
            throw new IllegalArgumentException("indent is " + indent + ", it must be at least 0, or ONE_LINE");
        }
    }

    /** {@code json.dumps(value)}. */
    public static PythonJson defaults() {
        return new PythonJson(ONE_LINE, false, true);
    }

    /** {@code json.dumps(value, indent=2, sort_keys=True)}, the form of {@code config.json} and {@code adapter_config.json}. */
    public static PythonJson config() {
        return new PythonJson(2, true, true);
    }

    public PythonJson withIndent(int indent) {
        return new PythonJson(indent, sortKeys, ensureAscii);
    }

    public PythonJson withSortKeys(boolean sortKeys) {
        return new PythonJson(indent, sortKeys, ensureAscii);
    }

    public PythonJson withEnsureAscii(boolean ensureAscii) {
        return new PythonJson(indent, sortKeys, ensureAscii);
    }

    /**
     * The text of {@code value}, without a line break at the end.
     *
     * @param value a JSON tree, or maps, iterables, strings, numbers, booleans and nulls; a float is widened to double, as Python has it
     * @throws IllegalArgumentException for another class of value, NaN, or an infinity
     */
    public String dumps(Object value) {
        StringBuilder out = new StringBuilder();
        write(JsonTrees.of(value), 0, out);
        return out.toString();
    }

    private void write(JsonElement value, int depth, StringBuilder out) {
        if (value.isJsonObject()) {
            List<Map.Entry<String, JsonElement>> members = new ArrayList<>(value.getAsJsonObject().entrySet());
            if (sortKeys) {
                members.sort(BY_CODE_POINT);
            }
            writeMembers('{', members.iterator(), '}', depth, out, member -> {
                quote(member.getKey(), out);
                out.append(": ");
                write(member.getValue(), depth + 1, out);
            });
        } else if (value.isJsonArray()) {
            writeMembers('[', value.getAsJsonArray().iterator(), ']', depth, out, element -> write(element, depth + 1, out));
        } else if (value.isJsonNull()) {
            out.append("null");
        } else {
            JsonPrimitive primitive = value.getAsJsonPrimitive();
            if (primitive.isString()) {
                quote(primitive.getAsString(), out);
            } else {
                out.append(primitive.isBoolean() ? primitive.getAsString() : PythonNumber.text(primitive.getAsNumber()));
            }
        }
    }

    private <T> void writeMembers(char open, Iterator<T> members, char close, int depth, StringBuilder out,
                                  Consumer<T> member) {
        out.append(open);
        if (members.hasNext()) {
            newLine(depth + 1, out);
            member.accept(members.next());
            while (members.hasNext()) {
                out.append(indent == ONE_LINE ? ", " : ",");
                newLine(depth + 1, out);
                member.accept(members.next());
            }
            newLine(depth, out);
        }
        out.append(close);
    }

    private void newLine(int depth, StringBuilder out) {
        if (indent != ONE_LINE) {
            out.append('\n').repeat(' ', indent * depth);
        }
    }

    private void quote(String text, StringBuilder out) {
        out.append('"');
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            switch (c) {
                case '"' -> out.append("\\\"");
                case '\\' -> out.append("\\\\");
                case '\b' -> out.append("\\b");
                case '\f' -> out.append("\\f");
                case '\n' -> out.append("\\n");
                case '\r' -> out.append("\\r");
                case '\t' -> out.append("\\t");
                default -> {
                    if (c < 0x20 || ensureAscii && c > 0x7e) {
                        out.append(String.format("\\u%04x", (int) c));
                    } else {
                        out.append(c);
                    }
                }
            }
        }
        out.append('"');
    }
}
