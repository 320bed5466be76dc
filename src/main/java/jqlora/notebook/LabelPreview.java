package jqlora.notebook;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
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

    /** @param learned whether the tokens are trained on */
    private record Run(String text, boolean learned) { }

    /** The row's tokens, those together that are trained on, and those that are not. */
    private List<Run> runs() {
        List<Run> runs = new ArrayList<>();
        int from = 0;
        for (int i = 1; i <= row.length(); i++) {
            if (i == row.length() || row.isLearned(i) != row.isLearned(from)) {
                runs.add(new Run(tokenizer.decodeWithSpecialTokens(Arrays.copyOfRange(row.ids(), from, i)), row.isLearned(from)));
                from = i;
            }
        }
        return runs;
    }

    private String figures() {
        return row.length() + " tokens, of which " + row.labelledTokens() + " are trained on (bold)";
    }

    @Override
    public String text() {
        StringBuilder text = new StringBuilder();
        runs().forEach(run -> text.append(run.learned ? "\n>>> trained on: " : text.isEmpty() ? "" : "\n").append(run.text));
        return text + "\n(" + figures() + ")";
    }

    @Override
    public String html() {
        StringBuilder lines = new StringBuilder();
        for (Run run : runs()) {
            String shown = Html.escape(run.text).replace("\n", "<br>");
            lines.append(run.learned ? "<mark><b>" + shown + "</b></mark>" : shown);
        }
        return "<blockquote>" + lines + "</blockquote><p>" + Html.escape(figures()) + "</p>";
    }
}
