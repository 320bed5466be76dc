package jqlora.ops.cpu;

import java.util.Arrays;
import jqlora.ops.cpu.Product.Factor;

/** Packs the right factor of a product: panels of a few columns, [k][column], in which a tile reads vector after vector. */
final class ColumnPanels {
    private final int rowsAtOnce;
    private final ThreadLocal<float[]> rowBuffer = ThreadLocal.withInitial(() -> new float[0]);

    /** @param lanes of a vector; every panel's width is a multiple */
    ColumnPanels(int lanes) {
        rowsAtOnce = Math.min(8, lanes);
    }

    /** {@code buffer}'s array of this thread, made longer if need be. */
    static float[] grown(ThreadLocal<float[]> buffer, int size) {
        float[] array = buffer.get();
        if (array.length < size) {
            array = new float[size + size / 4];
            buffer.set(array);
        }
        return array;
    }

    /**
     * Neighbouring panels of {@code width} columns of b; columns beyond the last are zero.
     *
     * @param panels overwritten from index {@code at}, one panel of [depth, width] after the other
     */
    void pack(Factor b, int k0, int depth, int column, int width, int count, float[] panels, int at) {
        if (b.transposed()) {
            for (int panel = 0; panel < count; panel++) {
                packTransposed(b, k0, depth, column + panel * width, width, panels, at + panel * width * depth);
            }
            return;
        }
        int all = count * width, filled = Math.min(all, b.columns() - column);
        float[] row = count == 1 ? panels : grown(rowBuffer, all);
        for (int k = 0; k < depth; k++) {
            int to = count == 1 ? at + k * width : 0;
            b.source().read(k0 + k, column, filled, row, to);
            Arrays.fill(row, to + filled, to + all, 0f);
            for (int panel = 0; row != panels && panel < count; panel++) {
                System.arraycopy(row, panel * width, panels, at + (panel * depth + k) * width, width);
            }
        }
    }

    private void packTransposed(Factor b, int k0, int depth, int column, int width, float[] panel, int at) {
        int count = Math.min(width, b.columns() - column);
        float[] rows = grown(rowBuffer, Transposition.rowsRead(rowsAtOnce) * depth);
        for (int j = 0; j < width; j += rowsAtOnce) {
            for (int i = 0; i < rowsAtOnce; i++) {
                if (j + i < count) {
                    b.source().read(column + j + i, k0, depth, rows, i * depth);
                } else {
                    Arrays.fill(rows, i * depth, (i + 1) * depth, 0f);
                }
            }
            Transposition.transpose(rows, rowsAtOnce, depth, panel, at + j, width);
        }
    }
}
