package jqlora.notebook;

import java.util.ArrayList;
import java.util.List;
import java.util.function.LongToDoubleFunction;
import jqlora.inspect.NumberText;

/** The first rows and columns of an array of any number of dimensions, aligned at the point; "..." stands for the rest. */
final class Corner {
    private static final int ROWS = 6, COLUMNS = 8;

    private Corner() { }

    /**
     * The lines of the corner.
     *
     * @param shape of the array, row-major; of more than two dimensions the first matrix is shown, of none a single number
     * @param values the element at a flat index
     */
    static List<String> lines(long[] shape, LongToDoubleFunction values) {
        int columns = shape.length == 0 ? 1 : (int) Math.min(COLUMNS, shape[shape.length - 1]);
        long width = shape.length == 0 ? 1 : shape[shape.length - 1], height = shape.length < 2 ? 1 : shape[shape.length - 2];
        int rows = (int) Math.min(ROWS, height);
        double[] shown = new double[rows * columns];
        for (int i = 0; i < shown.length; i++) {
            shown[i] = values.applyAsDouble(i / columns * width + i % columns);
        }
        NumberText text = NumberText.ofColumn(shown);
        int widest = 0;
        String[] cells = new String[shown.length];
        for (int i = 0; i < shown.length; i++) {
            cells[i] = Double.isNaN(shown[i]) ? "nan" : text.of(shown[i]);
            widest = Math.max(widest, cells[i].length());
        }
        List<String> lines = new ArrayList<>();
        for (int row = 0; row < rows; row++) {
            StringBuilder line = new StringBuilder(row == 0 && shape.length > 1 ? "[" : shape.length > 1 ? " " : "");
            line.append(shape.length == 0 ? "" : "[");
            for (int column = 0; column < columns; column++) {
                String cell = cells[row * columns + column];
                line.append(column == 0 ? "" : "  ").append(" ".repeat(widest - cell.length())).append(cell);
            }
            line.append(columns < width ? "  ..." : "").append(shape.length == 0 ? "" : "]");
            lines.add(line.append(shape.length > 1 && row == rows - 1 && rows == height ? "]" : "").toString());
        }
        if (rows < height) {
            lines.add(" ...]");
        }
        return lines;
    }
}
