package jqlora.data;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * Columns of a data set that hold something and are not read.
 *
 * @param rows for each column, in the order in which they were met, how many rows have something in it
 */
public record UnreadColumns(Map<String, Integer> rows) {
    public UnreadColumns {
        rows = new LinkedHashMap<>(rows);
    }

    /** Of all {@code rows} together. */
    public static UnreadColumns of(List<InstructionRow> rows) {
        Map<String, Integer> counts = new LinkedHashMap<>();
        rows.forEach(row -> row.origin().unread().forEach(column -> counts.merge(column, 1, Integer::sum)));
        return new UnreadColumns(counts);
    }

    public boolean isEmpty() {
        return rows.isEmpty();
    }

    /** Such as {@code topic (973 rows), facts (12 rows)}. */
    @Override
    public String toString() {
        return rows.entrySet().stream().map(entry -> entry.getKey() + " (" + entry.getValue() + " rows)").collect(Collectors.joining(", "));
    }
}
