package jqlora.notebook;

import java.util.ArrayList;
import java.util.List;

/** Columns as aligned text; what is long goes on in the next line of its cell. */
final class TextTable {
    private static final int WIDEST = 60;

    private record Column(boolean right, int width, List<List<String>> cells) { }

    private final List<Column> columns = new ArrayList<>();

    void column(String name, boolean right, List<TableCell> cells) {
        List<List<String>> all = new ArrayList<>();
        all.add(TextWidth.lines(name, WIDEST));
        cells.forEach(cell -> all.add(TextWidth.lines(cell.withNoteInText(), WIDEST)));
        int width = all.stream().flatMap(List::stream).mapToInt(TextWidth::of).max().orElse(0);
        columns.add(new Column(right, width, all));
    }

    @Override
    public String toString() {
        StringBuilder text = new StringBuilder();
        int rows = columns.getFirst().cells.size();
        for (int row = 0; row < rows; row++) {
            append(text, row);
            if (row == 0) {
                endLine(text).append(String.join("  ", columns.stream().map(column -> "-".repeat(column.width)).toList()));
            }
        }
        return text.toString().stripTrailing();
    }

    private void append(StringBuilder text, int row) {
        int lines = columns.stream().mapToInt(column -> column.cells.get(row).size()).max().orElse(1);
        for (int line = 0; line < lines; line++) {
            endLine(text);
            for (int i = 0; i < columns.size(); i++) {
                Column column = columns.get(i);
                List<String> cell = column.cells.get(row);
                TextWidth.append(text, line < cell.size() ? cell.get(line) : "", column.width, column.right);
                text.append(i + 1 < columns.size() ? "  " : "");
            }
        }
    }

    private static StringBuilder endLine(StringBuilder text) {
        if (text.isEmpty()) {
            return text;
        }
        while (text.charAt(text.length() - 1) == ' ') {
            text.setLength(text.length() - 1);
        }
        return text.append('\n');
    }
}
