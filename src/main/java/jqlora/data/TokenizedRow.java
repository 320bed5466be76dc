package jqlora.data;

import java.util.Arrays;

/** A row as tokens: ids, and which of them are trained on. */
public final class TokenizedRow {
    /** Label of a token that is not trained on, as in PyTorch. */
    public static final int IGNORE = -100;

    private final int[] ids;
    private final int labelledFrom;

    /** @param labelledFrom index of the first token that is trained on; those before it are the prompt */
    public TokenizedRow(int[] ids, int labelledFrom) {
        if (ids.length == 0 || labelledFrom < 0 || labelledFrom > ids.length) {
            throw new IllegalArgumentException("row of " + ids.length + " tokens: labels from " + labelledFrom + " on must lie within it, and it must not be empty");
        }
        this.ids = ids.clone();
        this.labelledFrom = labelledFrom;
    }

    public int length() {
        return ids.length;
    }

    public int[] ids() {
        return ids.clone();
    }

    /** The ids, {@value #IGNORE} for the prompt. */
    public int[] labels() {
        int[] labels = ids.clone();
        Arrays.fill(labels, 0, labelledFrom, IGNORE);
        return labels;
    }

    /** Index of the first token that is trained on. */
    public int labelledFrom() {
        return labelledFrom;
    }

    /** Tokens that the loss counts: the first token of a sequence is never predicted. */
    public int labelledTokens() {
        return ids.length - Math.max(1, labelledFrom);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof TokenizedRow row && labelledFrom == row.labelledFrom && Arrays.equals(ids, row.ids);
    }

    @Override
    public int hashCode() {
        return 31 * Arrays.hashCode(ids) + labelledFrom;
    }

    /** Such as {@code 61 tokens, 23 labelled}. */
    @Override
    public String toString() {
        return ids.length + " tokens, " + labelledTokens() + " labelled";
    }
}
