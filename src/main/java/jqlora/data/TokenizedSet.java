package jqlora.data;

import java.util.ArrayList;
import java.util.List;

/**
 * A data set as tokens, and what was not taken from it.
 *
 * @param promptsCut rows whose prompt was longer than its limit
 * @param answersCut rows whose answer was cut, so that they do not end with the end token
 * @param answerTokensLost tokens cut from answers
 * @param turnsLeftOut earlier turns that the limit of the prompt left no place for, the earliest of their rows
 * @param answersEmpty rows whose answer is empty: they train the end token alone
 * @param unread columns of the rows that hold something and are not read
 */
public record TokenizedSet(List<TokenizedRow> rows, int promptsCut, int answersCut, long answerTokensLost, int turnsLeftOut,
        int answersEmpty, UnreadColumns unread) {
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

    /** What of the data is not trained on, a sentence for each kind; empty if all of it is. */
    public List<String> notices() {
        List<String> notices = new ArrayList<>();
        if (!unread.isEmpty()) {
            notices.add("columns that are not read: " + unread + "; only instruction, input, output, system and history are");
        }
        add(notices, promptsCut, "prompt is longer than sourceMaxLen and loses its end", "prompts are longer than sourceMaxLen and lose their end");
        String lost = answerTokensLost == 1 ? "1 token" : answerTokensLost + " tokens";
        add(notices, answersCut, "answer is longer than the limits and loses its end, " + lost + ", so that its row does not teach to end",
                "answers are longer than the limits and lose their end, " + lost + " in all, so that their rows do not teach to end");
        add(notices, turnsLeftOut, "earlier turn is left out, the earliest of its row, since sourceMaxLen has no place for it",
                "earlier turns are left out, the earliest of their rows, since sourceMaxLen has no place for them");
        add(notices, answersEmpty, "answer is empty: its row teaches the end token alone", "answers are empty: their rows teach the end token alone");
        return notices;
    }

    private static void add(List<String> notices, int count, String one, String more) {
        if (count > 0) {
            notices.add(count + " " + (count == 1 ? one : more));
        }
    }

    /** Such as {@code 971 rows, 58020 tokens, 21040 labelled}, and what was not taken. */
    @Override
    public String toString() {
        return rows.size() + " rows, " + tokens() + " tokens, " + labelledTokens() + " labelled" + (answersCut == 0 ? "" : ", " + answersCut
                + " answers cut")
                + (promptsCut == 0 ? "" : ", " + promptsCut + " prompts cut") + (turnsLeftOut == 0 ? "" : ", " + turnsLeftOut
                + " turns left out")
                + (answersEmpty == 0 ? "" : ", " + answersEmpty + " answers empty") + (unread.isEmpty() ? "" : ", not read: " + unread);
    }
}
