package jqlora.notebook;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * A small table for a report, as HTML and as aligned text. Every value is escaped; numbers stand to the right, everything else to
 * the left.
 *
 * <pre>{@code
 * jshell> new HtmlTable("module", "r").row("q_proj", 8).row("v_proj", 8).text()
 * module  r
 * ------  -
 * q_proj  8
 * v_proj  8
 * }</pre>
 */
public final class HtmlTable implements Displayable {
    private static final int MAX_CELL = 300;

    /** A number with its unit, such as "3.2 GB": shown as written, to the right. */
    public record RightAligned(String text) { }

    private final List<String> header;
    private final List<List<Object>> rows = new ArrayList<>();
    private String caption = "";
    private String note = "";

    /** @param header one name per column */
    public HtmlTable(String... header) {
        this.header = List.of(header);
    }

    /**
     * Adds a row and returns this table; null is an empty cell.
     *
     * @throws IllegalArgumentException if there are not as many values as columns
     */
    public HtmlTable row(Object... values) {
        if (values.length != header.size()) {
            throw new IllegalArgumentException("HtmlTable: a row of " + values.length + " values, the header has " + header.size() + " columns");
        }
        rows.add(Arrays.asList(values.clone()));
        return this;
    }

    /** Sets the line above the table. */
    public HtmlTable caption(String caption) {
        this.caption = caption;
        return this;
    }

    /** Sets the line below the table. */
    public HtmlTable note(String note) {
        this.note = note;
        return this;
    }

    @Override
    public String html() {
        StringBuilder html = new StringBuilder("<table>");
        if (!caption.isEmpty()) {
            html.append("<caption>").append(Html.escape(caption)).append("</caption>");
        }
        html.append("<thead><tr>");
        for (int column = 0; column < header.size(); column++) {
            html.append(numeric(column) ? "<th>" : "<th style=\"text-align:left\">").append(Html.escape(header.get(column))).append("</th>");
        }
        html.append("</tr></thead><tbody>");
        for (List<Object> row : rows) {
            html.append("<tr>");
            for (Object value : row) {
                html.append(right(value) ? "<td>" : "<td style=\"text-align:left\">").append(Html.escape(shown(value))).append("</td>");
            }
            html.append("</tr>");
        }
        html.append("</tbody></table>");
        return note.isEmpty() ? html.toString() : html.append("<p>").append(Html.escape(note)).append("</p>").toString();
    }

    @Override
    public String text() {
        int[] widths = new int[header.size()];
        for (int column = 0; column < widths.length; column++) {
            widths[column] = TextWidth.of(header.get(column));
            for (List<Object> row : rows) {
                widths[column] = Math.max(widths[column], TextWidth.of(shown(row.get(column))));
            }
        }
        StringBuilder text = new StringBuilder(caption.isEmpty() ? "" : caption + "\n");
        List<String> rules = new ArrayList<>();
        for (int column = 0; column < widths.length; column++) {
            TextWidth.append(text, header.get(column), widths[column], numeric(column));
            text.append(column + 1 < widths.length ? "  " : "");
            rules.add("-".repeat(widths[column]));
        }
        endLine(text).append(String.join("  ", rules));
        for (List<Object> row : rows) {
            endLine(text);
            for (int column = 0; column < widths.length; column++) {
                TextWidth.append(text, shown(row.get(column)), widths[column], right(row.get(column)));
                text.append(column + 1 < widths.length ? "  " : "");
            }
        }
        String table = text.toString().stripTrailing();
        return note.isEmpty() ? table : table + "\n" + note;
    }

    private static StringBuilder endLine(StringBuilder text) {
        while (!text.isEmpty() && text.charAt(text.length() - 1) == ' ') {
            text.setLength(text.length() - 1);
        }
        return text.append('\n');
    }

    private boolean numeric(int column) {
        return !rows.isEmpty() && rows.stream().map(row -> row.get(column)).allMatch(value -> value == null || right(value));
    }

    private static boolean right(Object value) {
        return value instanceof Number || value instanceof RightAligned;
    }

    private static String shown(Object value) {
        String text = switch (value) {
            case null -> "";
            case Double number -> ShortNumber.of(number);
            case Float number -> ShortNumber.of(number);
            case RightAligned number -> number.text();
            default -> String.valueOf(value);
        };
        text = text.replaceAll("\\R", " ");
        return text.length() <= MAX_CELL ? text : text.substring(0, MAX_CELL) + "...";
    }
}
