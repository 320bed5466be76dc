package jqlora.notebook;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Modifier;
import java.lang.reflect.RecordComponent;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.Map;
import jqlora.inspect.NumberText;
import jqlora.lora.TargetModules;

/**
 * A record of ours as a table of two columns. A record within it is shown component by component, under the calls that lead there, such as
 * {@code batches.perDeviceTrainBatchSize}. Where its type has defaults, what differs from them stands out.
 */
record RecordView(Record value) implements Displayable {
    private static final int DIGITS = 6;

    @Override
    public String text() {
        return table().text();
    }

    @Override
    public String html() {
        return table().html();
    }

    private HtmlTable table() {
        Map<String, String> values = new LinkedHashMap<>(), defaults = new LinkedHashMap<>();
        flatten("", value, values);
        Record reference = constant(value.getClass(), "defaults");
        if (reference != null) {
            flatten("", reference, defaults);
        }
        HtmlTable table = new HtmlTable(value.getClass().getSimpleName(), "value");
        int differing = 0;
        for (Map.Entry<String, String> entry : values.entrySet()) {
            String usual = defaults.get(entry.getKey());
            boolean differs = reference != null && !entry.getValue().equals(usual);
            differing += differs ? 1 : 0;
            table.row(entry.getKey(), differs ? new HtmlTable.Marked(entry.getValue(), usual == null ? "not in the defaults" : "default " + usual) : entry.getValue());
        }
        return reference == null ? table : table.note(differing == 0 ? "all as in the defaults" : differing + " of " + values.size() + " differ from the defaults");
    }

    private static void flatten(String path, Record record, Map<String, String> into) {
        for (RecordComponent component : record.getClass().getRecordComponents()) {
            String name = path + component.getName();
            Object inner = get(record, component);
            if (inner instanceof Record nested && isPlain(nested) && nested.getClass().getRecordComponents().length > 0 && !nested.equals(constant(nested.getClass(), "none"))) {
                flatten(name + ".", nested, into);
            } else {
                into.put(name, shown(inner));
            }
        }
    }

    /** Whether a record says no more of itself than every record does. */
    static boolean isPlain(Record record) {
        return !(record instanceof TargetModules) && record.toString().startsWith(record.getClass().getSimpleName() + "[");
    }

    static Object get(Record record, RecordComponent component) {
        try {
            component.getAccessor().setAccessible(true);
            return component.getAccessor().invoke(record);
        } catch (IllegalAccessException | InvocationTargetException failed) {
            throw new IllegalStateException(record.getClass().getSimpleName() + "." + component.getName() + " cannot be read", failed);
        }
    }

    /** What the static method {@code name}, without parameters, of {@code type} returns; null where there is none that returns the type. */
    private static Record constant(Class<? extends Record> type, String name) {
        try {
            var method = type.getMethod(name);
            return Modifier.isStatic(method.getModifiers()) && method.getReturnType() == type ? (Record) method.invoke(null) : null;
        } catch (NoSuchMethodException absent) {
            return null;
        } catch (IllegalAccessException | InvocationTargetException failed) {
            throw new IllegalStateException(type.getSimpleName() + "." + name + "() failed", failed);
        }
    }

    /** A component in a few words. */
    static String shown(Object value) {
        return switch (value) {
            case null -> "not set";
            case Double number -> NumberText.alone(number, DIGITS);
            case Float number -> NumberText.alone(Double.parseDouble(number.toString()), DIGITS);
            case Long number -> number == Long.MAX_VALUE ? "no limit" : ShortNumber.grouped(number);
            case Integer number -> ShortNumber.grouped(number);
            case Boolean yes -> yes ? "yes" : "no";
            case TargetModules targets -> targets.text();
            case Collection<?> many when many.isEmpty() -> "none";
            case Collection<?> many -> String.join(", ", many.stream().map(RecordView::shown).toList());
            case Map<?, ?> map when map.isEmpty() -> "none";
            case Record record when record.equals(constant(record.getClass(), "none")) -> "none";
            case Record record when record.getClass().getRecordComponents().length == 0 -> record.getClass().getSimpleName();
            default -> String.valueOf(value);
        };
    }
}
