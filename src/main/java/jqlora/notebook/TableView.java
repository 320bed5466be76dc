package jqlora.notebook;

import tech.tablesaw.api.DoubleColumn;
import tech.tablesaw.columns.Column;
import tech.tablesaw.table.Relation;

/**
 * The beginning of a Tablesaw table. The numbers of a column have one format, its own print format where it has one;
 * missing values are empty.
 *
 * @param maxRows at least 1
 */
public record TableView(Relation table, int maxRows) implements Displayable {
    /** Rows shown where nothing else is asked for. */
    public static final int DEFAULT_ROWS = 20;
    private static final int MAX_COLUMNS = 12;

    public TableView {
        if (maxRows < 1) {
            throw new IllegalArgumentException("TableView: maxRows is " + maxRows + ", it must be at least 1");
        }
    }

    @Override
    public String text() {
        return excerpt().text();
    }

    @Override
    public String html() {
        return excerpt().html();
    }

    private HtmlTable excerpt() {
        int columns = Math.min(MAX_COLUMNS, table.columnCount());
        int rows = Math.min(maxRows, table.rowCount());
        if (columns == 0) {
            return new HtmlTable("no columns").caption(table.name() == null ? "" : table.name());
        }
        String[] header = new String[columns];
        Object[][] values = new Object[rows][columns];
        for (int column = 0; column < columns; column++) {
            header[column] = table.column(column).name();
            fill(values, column, table.column(column));
        }
        HtmlTable excerpt = new HtmlTable(header);
        for (Object[] row : values) {
            excerpt.row(row);
        }
        return excerpt.caption(table.name() == null ? "" : table.name()).note(rest(table.rowCount() - rows, table.columnCount() - columns));
    }

    /** The beginning of {@code column}; as it writes its numbers itself where it has a print format. */
    private static void fill(Object[][] values, int at, Column<?> column) {
        boolean formatted = false;
        for (int row = 0; row < values.length; row++) {
            values[row][at] = column.isMissing(row) ? null : column.get(row);
            formatted |= values[row][at] instanceof Number number && !isPlain(column, row, number);
        }
        for (int row = 0; row < values.length && formatted; row++) {
            values[row][at] = values[row][at] == null ? null : new HtmlTable.RightAligned(column.getString(row));
        }
    }

    /** Whether Tablesaw writes {@code number} so where nobody has told it how. */
    private static boolean isPlain(Column<?> column, int row, Number number) {
        String written = column.getString(row);
        return written.equals(String.valueOf(number)) || written.equals(DoubleColumn.create("", number.doubleValue()).getString(0));
    }

    private static String rest(int rows, int columns) {
        String more = rows <= 0 ? "" : "... " + ShortNumber.grouped(rows) + " more row" + (rows == 1 ? "" : "s");
        return columns <= 0 ? more
                : (more.isEmpty() ? "... " : more + ", ") + columns + " more column" + (columns == 1 ? "" : "s");
    }
}
