package jqlora.train;

import java.util.ArrayList;
import java.util.List;
import jqlora.data.TokenizedRow;
import jqlora.model.CausalLm;
import jqlora.model.TokenIds;

/** What can be told of rows before anything is computed with them. */
final class RowCheck {
    private RowCheck() { }

    /**
     * @param part what the rows are, such as {@code held-out rows}
     * @throws IllegalArgumentException if a token is not in the model's embedding, with its row
     */
    static void requireTokens(CausalLm model, String part, List<TokenizedRow> rows) {
        for (int i = 0; i < rows.size(); i++) {
            TokenizedRow row = rows.get(i);
            String place = row.source().place();
            TokenIds.require(model, part + ": " + (place.isEmpty() ? "row " + (i + 1) : place), row.ids(), row.source().token());
        }
    }

    /** What of {@code rows} is not trained on, or goes beyond what the model was made for; a sentence each. */
    static List<String> notices(CausalLm model, String part, List<TokenizedRow> rows) {
        List<String> notices = new ArrayList<>();
        long unlabelled = rows.stream().filter(row -> row.labelledTokens() == 0).count();
        if (unlabelled > 0) {
            notices.add(part + ": " + unlabelled + " of " + rows.size() + (unlabelled == 1 ? " rows has no labelled token and is left out" : " rows have no labelled token and are left out"));
        }
        int positions = model.spec().attention().positions().count();
        long longer = rows.stream().filter(row -> row.length() > positions).count();
        if (longer > 0) {
            int longest = rows.stream().mapToInt(TokenizedRow::length).max().orElse(0);
            notices.add(part + ": " + longer + (longer == 1 ? " row is" : " rows are") + " longer than the " + positions + " positions that the model was made for"
                    + " (max_position_embeddings), the longest has " + longest
                    + " tokens; a smaller maxLength cuts them");
        }
        return notices;
    }
}
