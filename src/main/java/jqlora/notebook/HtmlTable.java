package jqlora.notebook;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import jqlora.inspect.NumberText;

/**
 * A small table for a report, as HTML and as aligned text. Every value is escaped. The numbers of a column have one format and stand to the right, so that they stand at
 * the point; everything else stands to the left. A table that is wider than the page scrolls in a box of its own.
 *
 * <pre>{@code
 * jshell> Tables.of("", "module", "loss").row("q_proj", 4.5331).row("v_proj", 10).text()
 * module    loss
 * ------  ------
 * q_proj   4.533
 * v_proj  10.000
 * }</pre>
 */
public final class HtmlTable implements Displayable {
    /** Something with its unit, such as "3.2 GB": shown as written, to the right. */
    public record RightAligned(String text) { }

    /** A value that stands out, with what it is measured against, such as 16 where the default is 64. */
    public record Marked(String text, String note) { }

    /** How the numbers of a column are written, where its maker says so. */
    private sealed interface Format {
        record Percent() implements Format { }

        record Decimals(int decimals) implements Format { }
    }

    private final List<String> header;
    private final List<List<Object>> rows = new ArrayList<>();
    private final Map<Integer, Format> formats = new LinkedHashMap<>();
    private String caption = "";
    private String note = "";

    /** @param header one name per column */
    public HtmlTable(String... header) {
        this.header = List.of(header);
        if (header.length == 0 || new HashSet<>(this.header).size() != header.length) {
            throw new IllegalArgumentException("table: the columns are " + this.header + ", there must be at least one, and no two with the same name");
        }
    }

    /**
     * Adds a row and returns this table; null is an empty cell.
     *
     * @throws IllegalArgumentException if there are not as many values as columns
     */
    public HtmlTable row(Object... values) {
        if (values.length != header.size()) {
            throw new IllegalArgumentException("table: a row of " + values.length + " values, but " + header.size() + " columns: " + String.join(", ", header));
        }
        rows.add(Arrays.asList(values.clone()));
        return this;
    }

    /** The numbers of {@code columns} are shares, shown in percent: 0.5 as 50%. */
    public HtmlTable percent(String... columns) {
        return format(new Format.Percent(), columns);
    }

    /** The numbers of {@code columns} have {@code decimals} digits behind the point. */
    public HtmlTable decimals(int decimals, String... columns) {
        if (decimals < 0 || decimals > 15) {
            throw new IllegalArgumentException("table: decimals is " + decimals + ", it must be between 0 and 15");
        }
        return format(new Format.Decimals(decimals), columns);
    }

    private HtmlTable format(Format format, String... columns) {
        for (String column : columns) {
            int index = header.indexOf(column);
            if (index < 0) {
                throw new IllegalArgumentException("table: there is no column \"" + column + "\"; there are " + String.join(", ", header));
            }
            formats.put(index, format);
        }
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
        StringBuilder html = new StringBuilder("<div style=\"overflow-x:auto\"><table>");
        if (!caption.isEmpty()) {
            html.append("<caption>").append(Html.escape(caption)).append("</caption>");
        }
        List<Column> columns = columns();
        html.append("<thead><tr>");
        columns.forEach(column -> html.append(TableCell.open("th", column.right)).append(TableCell.breakable(column.name)).append("</th>"));
        html.append("</tr></thead><tbody>");
        for (int row = 0; row < rows.size(); row++) {
            html.append("<tr>");
            for (Column column : columns) {
                TableCell cell = column.cells.get(row);
                html.append(cell.html("td"));
            }
            html.append("</tr>");
        }
        html.append("</tbody></table></div>");
        return note.isEmpty() ? html.toString() : html.append("<p>").append(Html.escape(note)).append("</p>").toString();
    }

    @Override
    public String text() {
        TextTable text = new TextTable();
        columns().forEach(column -> text.column(column.name, column.right, column.cells));
        return (caption.isEmpty() ? "" : caption + "\n") + text + (note.isEmpty() ? "" : "\n" + note);
    }

    private record Column(String name, boolean right, List<TableCell> cells) { }

    private List<Column> columns() {
        List<Column> columns = new ArrayList<>();
        for (int i = 0; i < header.size(); i++) {
            int index = i;
            columns.add(column(header.get(i), rows.stream().map(row -> row.get(index)).toList().toArray(), formats.get(i)));
        }
        return columns;
    }

    private static Column column(String name, Object[] values, Format format) {
        boolean right = values.length > 0 && Arrays.stream(values).allMatch(value -> value == null || value instanceof Number || value instanceof RightAligned);
        int scale = format instanceof Format.Percent ? 100 : 1;
        double[] numbers = Arrays.stream(values).filter(Number.class::isInstance).mapToDouble(value -> scale * ((Number) value).doubleValue()).toArray();
        NumberText text = switch (format) {
            case null -> NumberText.ofColumn(numbers);
            case Format.Percent() -> NumberText.ofShares(numbers);
            case Format.Decimals(int decimals) -> new NumberText(decimals, 0, Arrays.stream(numbers).anyMatch(number -> Math.abs(number) >= 10_000));
        };
        boolean alike = right || format != null;                  // a column of all sorts has numbers that have nothing to do with each other
        List<TableCell> cells = new ArrayList<>();
        for (Object value : values) {
            cells.add(switch (value) {
                case null -> new TableCell("", right, false);
                case RightAligned number -> new TableCell(number.text(), true, false);
                case Marked marked -> new TableCell(marked.text(), right, true).withNote(marked.note());
                case Number number when alike -> new TableCell(written(text, scale, number), true, false);
                case Number number -> new TableCell(ShortNumber.of(number.doubleValue()), false, false);
                default -> new TableCell(String.valueOf(value), false, false);
            });
        }
        return new Column(name, right, cells);
    }

    private static String written(NumberText text, int scale, Number number) {
        String written = text.of(scale * number.doubleValue());
        return scale == 1 || written.isEmpty() ? written : written + "%";
    }
}
