package jqlora.data;

import java.util.List;

/**
 * A data set as tokens, and what the length limits took from it.
 *
 * @param promptsCut rows whose prompt was longer than its limit
 * @param answersCut rows whose answer was cut, so that they do not end with the end token
 * @param answerTokensLost tokens cut from answers
 */
public record TokenizedSet(List<TokenizedRow> rows, int promptsCut, int answersCut, long answerTokensLost) {
    public TokenizedSet {
        rows = List.copyOf(rows);
    }

    /** Tokens of all rows. */
    public long tokens() {
        return rows.stream().mapToLong(TokenizedRow::length).sum();
    }

    /** Tokens that the loss counts. */
    public long labelledTokens() {
        return rows.stream().mapToLong(TokenizedRow::labelledTokens).sum();
    }

    /** Such as {@code 971 rows, 58020 tokens, 21040 labelled}. */
    @Override
    public String toString() {
        return rows.size() + " rows, " + tokens() + " tokens, " + labelledTokens() + " labelled" + (answersCut == 0 ? "" : ", " + answersCut + " answers cut");
    }
}
