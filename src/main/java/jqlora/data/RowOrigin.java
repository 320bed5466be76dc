package jqlora.data;

import java.util.List;

/**
 * Where a row stands, and what of it nothing reads.
 *
 * @param place such as {@code train.jsonl: line 4}; empty for a row that was made by hand
 * @param unread names of the row's further columns that hold something
 */
public record RowOrigin(String place, List<String> unread) {
    /** Of a row that was made by hand. */
    public static final RowOrigin NONE = new RowOrigin("", List.of());

    public RowOrigin {
        unread = List.copyOf(unread);
    }

    /** The place, or {@code row NUMBER} where there is none. */
    String placeOr(int number) {
        return place.isEmpty() ? "row " + number : place;
    }
}
