package jqlora.data;

import java.util.Arrays;

/** A row as tokens: ids, and which of them are trained on. */
public final class TokenizedRow {
    /** Label of a token that is not trained on, as in PyTorch. */
    public static final int IGNORE = -100;

    private final int[] ids;
    private final boolean[] learned;
    private final RowSource source;

    /** @param labelledFrom index of the first token that is trained on; those before it are the prompt */
    public TokenizedRow(int[] ids, int labelledFrom) {
        this(ids, from(ids.length, labelledFrom), RowSource.NONE);
    }

    /**
     * A row of which any tokens may be trained on.
     *
     * @param learned for each token, whether it is trained on
     * @throws IllegalArgumentException if there is no token, or the two have different lengths
     */
    public TokenizedRow(int[] ids, boolean[] learned, RowSource source) {
        if (ids.length == 0 || ids.length != learned.length) {
            throw new IllegalArgumentException((source.place().isEmpty() ? "row" : source.place()) + ": has " + ids.length
                    + " tokens and a mask for " + learned.length
                    + ", there must be equally many, and at least one; leave an empty row out");
        }
        this.ids = ids.clone();
        this.learned = learned.clone();
        this.source = source;
    }

    private static boolean[] from(int length, int labelledFrom) {
        if (length == 0 || labelledFrom < 0 || labelledFrom > length) {
            throw new IllegalArgumentException("row of " + length + " tokens: labels from " + labelledFrom
                    + " on must lie within it, and it must not be empty");
        }
        boolean[] learned = new boolean[length];
        Arrays.fill(learned, labelledFrom, length, true);
        return learned;
    }

    public int length() {
        return ids.length;
    }

    public int[] ids() {
        return ids.clone();
    }

    /** The ids, {@value #IGNORE} where nothing is trained. */
    public int[] labels() {
        int[] labels = ids.clone();
        for (int i = 0; i < labels.length; i++) {
            labels[i] = learned[i] ? labels[i] : IGNORE;
        }
        return labels;
    }

    /** Whether token {@code index} is trained on. */
    public boolean isLearned(int index) {
        return learned[index];
    }

    /** Index of the first token that is trained on; the length if there is none. */
    public int labelledFrom() {
        for (int i = 0; i < learned.length; i++) {
            if (learned[i]) {
                return i;
            }
        }
        return learned.length;
    }

    /** Tokens that the loss counts: the first token of a sequence is never predicted. */
    public int labelledTokens() {
        int count = 0;
        for (int i = 1; i < learned.length; i++) {
            count += learned[i] ? 1 : 0;
        }
        return count;
    }

    /** Where the row comes from. */
    public RowSource source() {
        return source;
    }

    /** Whether ids and labels are the same; where the rows come from does not matter. */
    @Override
    public boolean equals(Object other) {
        return other instanceof TokenizedRow row && Arrays.equals(learned, row.learned) && Arrays.equals(ids, row.ids);
    }

    @Override
    public int hashCode() {
        return 31 * Arrays.hashCode(ids) + Arrays.hashCode(learned);
    }

    /** Such as {@code 61 tokens, 23 labelled}. */
    @Override
    public String toString() {
        return ids.length + " tokens, " + labelledTokens() + " labelled";
    }
}
