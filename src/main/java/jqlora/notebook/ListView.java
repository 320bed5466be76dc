package jqlora.notebook;

import java.lang.reflect.RecordComponent;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import jqlora.data.InstructionRow;

/** Lists that read better as tables: records of one type, a row each; and texts that are too long for one line, each in its own. */
final class ListView {
    private static final int LONG_TEXT = 80;

    private ListView() { }

    /** {@code values} as a table of at most {@code rows} rows; null where plain text does as well. */
    static Displayable of(List<?> values, int rows) {
        if (values.isEmpty() || values.stream().anyMatch(Objects::isNull)) {
            return null;
        }
        Object first = values.getFirst();
        if (first instanceof Enum<?> constant && values.stream().allMatch(value -> value instanceof Enum<?> other && other.getDeclaringClass() == constant.getDeclaringClass())) {
            return new EnumView(values.stream().<Enum<?>>map(value -> (Enum<?>) value).toList());
        }
        if (values.stream().allMatch(InstructionRow.class::isInstance)) {
            return instructions(values.stream().map(InstructionRow.class::cast).toList(), rows);
        }
        if (first instanceof Record record && values.stream().allMatch(value -> value.getClass() == first.getClass()) && isSimple(record)) {
            return records(values.stream().map(Record.class::cast).toList(), rows);
        }
        boolean texts = values.stream().allMatch(String.class::isInstance);
        return texts && values.stream().mapToInt(value -> ((String) value).indexOf('\n') >= 0 ? LONG_TEXT + 1 : ((String) value).length()).sum() > LONG_TEXT ? texts(values, rows) : null;
    }

    /** Rows of a data set; {@code rows} of them at most. The columns of a system prompt and of earlier turns only where a row has one. */
    static HtmlTable instructions(List<InstructionRow> all, int rows) {
        boolean system = all.stream().anyMatch(row -> !row.system().isEmpty()), history = all.stream().anyMatch(row -> !row.history().isEmpty());
        List<String> names = new ArrayList<>(List.of("instruction", "input", "output"));
        if (system) {
            names.addFirst("system");
        }
        if (history) {
            names.addFirst("earlier turns");
        }
        HtmlTable table = new HtmlTable(names.toArray(String[]::new));
        for (InstructionRow row : all.subList(0, Math.min(rows, all.size()))) {
            List<Object> cells = new ArrayList<>(List.of(row.instruction(), row.input(), row.output()));
            if (system) {
                cells.addFirst(row.system());
            }
            if (history) {
                cells.addFirst(row.history().size());
            }
            table.row(cells.toArray());
        }
        return table.note(rest(all.size() - rows));
    }

    private static boolean isSimple(Record record) {
        return record.getClass().getRecordComponents().length > 0 && RecordView.isPlain(record) && Arrays.stream(record.getClass().getRecordComponents()).map(RecordComponent::getType)
                .allMatch(type -> type.isPrimitive() || Number.class.isAssignableFrom(type) || type == String.class || type == Boolean.class || type.isEnum());
    }

    private static HtmlTable records(List<Record> records, int rows) {
        RecordComponent[] components = records.getFirst().getClass().getRecordComponents();
        HtmlTable table = new HtmlTable(Arrays.stream(components).map(RecordComponent::getName).toArray(String[]::new));
        for (Record record : records.subList(0, Math.min(rows, records.size()))) {
            table.row(Arrays.stream(components).map(component -> RecordView.get(record, component)).toArray());
        }
        return table.note(rest(records.size() - rows));
    }

    private static HtmlTable texts(List<?> values, int rows) {
        HtmlTable table = new HtmlTable("", "text");
        for (int i = 0; i < Math.min(rows, values.size()); i++) {
            table.row(i, values.get(i));
        }
        return table.note(rest(values.size() - rows));
    }

    private static String rest(int more) {
        return more <= 0 ? "" : "... " + ShortNumber.grouped(more) + " more row" + (more == 1 ? "" : "s");
    }
}
