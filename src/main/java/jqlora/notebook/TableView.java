package jqlora.notebook;

import tech.tablesaw.columns.Column;
import tech.tablesaw.table.Relation;

/**
 * The beginning of a Tablesaw table. Numbers are shortened to six digits unless their column has a print format of its own;
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
        String[] header = new String[columns];
        for (int column = 0; column < columns; column++) {
            header[column] = table.column(column).name();
        }
        HtmlTable excerpt = new HtmlTable(header);
        for (int row = 0; row < rows; row++) {
            Object[] values = new Object[columns];
            for (int column = 0; column < columns; column++) {
                values[column] = value(table.column(column), row);
            }
            excerpt.row(values);
        }
        return excerpt.caption(table.name() == null ? "" : table.name()).note(rest(table.rowCount() - rows, table.columnCount() - columns));
    }

    private static Object value(Column<?> column, int row) {
        if (column.isMissing(row)) {
            return null;
        }
        Object value = column.get(row);
        String written = column.getString(row);
        boolean formatted = value instanceof Number && !written.equals(String.valueOf(value));
        return formatted ? new HtmlTable.RightAligned(written) : value;
    }

    private static String rest(int rows, int columns) {
        String more = rows <= 0 ? "" : "... " + rows + " more row" + (rows == 1 ? "" : "s");
        return columns <= 0 ? more
                : (more.isEmpty() ? "... " : more + ", ") + columns + " more column" + (columns == 1 ? "" : "s");
    }
}
