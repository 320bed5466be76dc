package jqlora.data;

import java.util.List;

/** Rows that go through the model together, one after the other, without padding. */
public final class Batch {
    private final int[] inputIds;
    private final int[] labels;
    private final int[] lengths;

    private Batch(int[] inputIds, int[] labels, int[] lengths) {
        this.inputIds = inputIds;
        this.labels = labels;
        this.lengths = lengths;
    }

    /** @throws IllegalArgumentException if there is no row */
    public static Batch of(List<TokenizedRow> rows) {
        if (rows.isEmpty()) {
            throw new IllegalArgumentException("batch: there are no rows, there must be at least one");
        }
        int total = rows.stream().mapToInt(TokenizedRow::length).sum();
        int[] ids = new int[total], labels = new int[total], lengths = new int[rows.size()];
        int at = 0;
        for (int i = 0; i < lengths.length; i++) {
            TokenizedRow row = rows.get(i);
            lengths[i] = row.length();
            System.arraycopy(row.ids(), 0, ids, at, lengths[i]);
            System.arraycopy(row.labels(), 0, labels, at, lengths[i]);
            at += lengths[i];
        }
        return new Batch(ids, labels, lengths);
    }

    /** [tokens] */
    public int[] inputIds() {
        return inputIds.clone();
    }

    /** [tokens], {@value TokenizedRow#IGNORE} where nothing is trained. */
    public int[] labels() {
        return labels.clone();
    }

    /** Tokens of each row. */
    public int[] lengths() {
        return lengths.clone();
    }

    public int tokens() {
        return inputIds.length;
    }
}
