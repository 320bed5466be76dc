package jqlora.notebook;

/**
 * A cell of a table, as it is shown.
 *
 * @param marked whether it stands out
 * @param note beside a marked one; may be empty
 */
record TableCell(String text, boolean right, boolean marked, String note) {
    private static final int MOST_CHARACTERS = 300, MOST_IN_TITLE = 2_000, LONGEST_WORD = 18, LONGEST_PART = 40;

    TableCell {
        text = text.strip();
    }

    TableCell(String text, boolean right, boolean marked) {
        this(text, right, marked, "");
    }

    TableCell withNote(String newNote) {
        return new TableCell(text, right, marked, newNote);
    }

    /** In one line, cut where it is too long. */
    String line() {
        return shortened(text.replaceAll("\\R", " "));
    }

    /** For text: with the note in parentheses. */
    String withNoteInText() {
        return note.isEmpty() ? line() : line() + " (" + note + ")";
    }

    String html(String tag) {
        String line = line(), whole = text.replaceAll("\\R", " ");
        String title = line.equals(whole) ? "" : " title=\"" + Html.escape(whole.length() > MOST_IN_TITLE ? whole.substring(0, MOST_IN_TITLE) + "\u2026" : whole) + "\"";
        String body = right ? Html.escape(line) : breakable(line);
        String shown = marked ? "<b>" + body + "</b>" : body;
        return open(tag, right, title) + shown + (note.isEmpty() ? "" : " <small>(" + Html.escape(note) + ")</small>") + "</" + tag + ">";
    }

    static String open(String tag, boolean right) {
        return open(tag, right, "");
    }

    /** The attribute is for pages that take styles away, the style for those whose style sheet would overrule the attribute. */
    private static String open(String tag, boolean right, String title) {
        String side = right ? "right" : "left";
        return "<" + tag + " align=\"" + side + "\" style=\"text-align:" + side + (right ? ";white-space:nowrap" : "") + "\"" + title + ">";
    }

    private static String shortened(String line) {
        return line.length() <= MOST_CHARACTERS ? line : line.substring(0, MOST_CHARACTERS) + "\u2026";
    }

    /** Escaped, and with places where a long name may be broken: behind its dots, slashes and underscores. */
    static String breakable(String line) {
        StringBuilder html = new StringBuilder();
        for (String word : line.split("(?<= )")) {
            if (word.length() <= LONGEST_WORD) {
                html.append(Html.escape(word));
            } else {
                for (String part : word.split("(?<=[./_,:\\-])|(?<=\\G.{" + LONGEST_PART + "})")) {
                    html.append(html.isEmpty() ? "" : "<wbr>").append(Html.escape(part));
                }
            }
        }
        return html.toString();
    }
}
