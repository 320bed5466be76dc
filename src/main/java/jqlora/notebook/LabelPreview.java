package jqlora.notebook;

import java.util.Arrays;
import jqlora.data.TextTokenizer;
import jqlora.data.TokenizedRow;

/** A training row token by token: the prompt, which is only read, and the answer, which is learned. */
public final class LabelPreview implements Displayable {
    private final TokenizedRow row;
    private final TextTokenizer tokenizer;

    LabelPreview(TokenizedRow row, TextTokenizer tokenizer) {
        this.row = row;
        this.tokenizer = tokenizer;
    }

    private String prompt() {
        return tokenizer.decodeWithSpecialTokens(Arrays.copyOf(row.ids(), row.labelledFrom()));
    }

    private String answer() {
        return tokenizer.decodeWithSpecialTokens(Arrays.copyOfRange(row.ids(), row.labelledFrom(), row.length()));
    }

    private String figures() {
        return row.length() + " tokens, of which " + row.labelledTokens() + " are trained on (bold)";
    }

    @Override
    public String text() {
        return prompt() + "\n>>> trained on: " + answer() + "\n(" + figures() + ")";
    }

    @Override
    public String html() {
        String lines = Html.escape(prompt()).replace("\n", "<br>") + "<b>" + Html.escape(answer()).replace("\n", "<br>") + "</b>";
        return "<blockquote>" + lines + "</blockquote><p>" + Html.escape(figures()) + "</p>";
    }
}
