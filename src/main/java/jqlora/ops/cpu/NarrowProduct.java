package jqlora.ops.cpu;

import static jqlora.ops.cpu.ColumnPanels.grown;

import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;
import jqlora.ops.cpu.Product.Factor;
import jqlora.ops.cpu.Product.Target;
import jqlora.tensor.TensorView;
import jqlora.tensor.Workers;

/**
 * Products whose result is narrower than a tile of {@link VectorProduct}, such as a LoRA rank. An element of a is used so few times that
 * rearranging a into panels would cost more than the arithmetic, so its rows are copied as they lie. The sums have the order of
 * {@link VectorProduct}.
 */
final class NarrowProduct {
    private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
    private static final int LANES = SPECIES.length();
    private static final ByteOrder ORDER = ByteOrder.LITTLE_ENDIAN;
    private static final int TILE_ROWS = 8;
    private static final int ROWS_PER_TASK = 16, COLUMNS_PER_TASK = 16;

    private final Workers workers;
    private final int maxDepth;
    private final ColumnPanels columns = new ColumnPanels(LANES);
    private final ThreadLocal<float[]> copiedA = ThreadLocal.withInitial(() -> new float[0]);
    private final ThreadLocal<float[]> packedB = ThreadLocal.withInitial(() -> new float[0]);
    private final ThreadLocal<float[]> tile = ThreadLocal.withInitial(() -> new float[TILE_ROWS * LANES]);

    /** @param maxDepth summands of a partial sum */
    NarrowProduct(Workers workers, int maxDepth) {
        this.workers = workers;
        this.maxDepth = maxDepth;
    }

    void multiply(Factor a, Factor b, Target c, float scale, boolean accumulate) {
        int m = a.rows(), n = b.columns(), k = a.columns(), panels = Math.ceilDiv(n, LANES), most = Math.min(maxDepth, k);
        float[] panelsOfB = grown(packedB, panels * LANES * most);
        float[] columnsOfA = a.transposed() ? grown(copiedA, m * most + TILE_ROWS) : null;
        for (int k0 = 0; k0 < k; k0 += maxDepth) {
            int depth = Math.min(maxDepth, k - k0), from = k0;
            boolean add = accumulate || k0 > 0;
            Runnable packing = () -> {                            // a few microseconds: less than sharing it would cost
                for (int panel = 0; panel < panels; panel++) {
                    columns.pack(b, from, depth, panel * LANES, LANES, 1, panelsOfB, panel * LANES * depth);
                }
            };
            if (a.transposed()) {
                workers.run(1 + Math.ceilDiv(depth, COLUMNS_PER_TASK), part -> {
                    if (part == 0) {
                        packing.run();
                        return;
                    }
                    for (int i = (part - 1) * COLUMNS_PER_TASK; i < Math.min(depth, part * COLUMNS_PER_TASK); i++) {
                        a.source().read(from + i, 0, m, columnsOfA, i * m);
                        scale(columnsOfA, i * m, m, scale);
                    }
                });
            } else {
                packing.run();
            }
            workers.run(Math.ceilDiv(m, ROWS_PER_TASK), part -> {
                int first = part * ROWS_PER_TASK, last = Math.min(m, first + ROWS_PER_TASK);
                float[] sums = tile.get();
                float[] rowsOfA = a.transposed() ? null : grown(copiedA, TILE_ROWS * depth);
                for (int row = first; row < last; row += TILE_ROWS) {
                    int rows = Math.min(TILE_ROWS, last - row);
                    if (rowsOfA != null) {
                        for (int i = 0; i < rows; i++) {
                            a.source().read(row + i, from, depth, rowsOfA, i * depth);
                        }
                        scale(rowsOfA, 0, rows * depth, scale);
                    }
                    for (int panel = 0; panel < panels; panel++) {
                        if (rowsOfA != null) {
                            alongRows(depth, rowsOfA, panelsOfB, panel * LANES * depth, sums);
                        } else {
                            alongColumns(depth, columnsOfA, row, m, panelsOfB, panel * LANES * depth, sums);
                        }
                        write(sums, rows, Math.min(LANES, n - panel * LANES), c, c.first() + row * c.stride() + panel * LANES, add);
                    }
                }
            });
        }
    }

    private static void scale(float[] values, int at, int count, float scale) {
        if (scale != 1f) {
            for (int i = at; i < at + count; i++) {
                values[i] *= scale;
            }
        }
    }

    private static void write(float[] sums, int rows, int columns, Target c, long at, boolean add) {
        for (int i = 0; i < rows; i++) {
            long offset = (at + i * c.stride()) * 4;
            if (columns == LANES) {
                FloatVector sum = FloatVector.fromArray(SPECIES, sums, i * LANES);
                (add ? sum.add(FloatVector.fromMemorySegment(SPECIES, c.memory(), offset, ORDER)) : sum).intoMemorySegment(c.memory(), offset, ORDER);
                continue;
            }
            for (int j = 0; j < columns; j++) {
                float sum = sums[i * LANES + j];
                c.memory().set(TensorView.FLOAT, offset + j * 4L, add ? c.memory().get(TensorView.FLOAT, offset + j * 4L) + sum : sum);
            }
        }
    }

    /** Eight rows of a, each {@code depth} elements from the last, by one vector of columns. What lies beyond the last row is not used. */
    private static void alongRows(int depth, float[] a, float[] b, int bi, float[] sums) {
        FloatVector z = FloatVector.zero(SPECIES);
        FloatVector r0 = z, r1 = z, r2 = z, r3 = z, r4 = z, r5 = z, r6 = z, r7 = z;
        int a1 = depth, a2 = 2 * depth, a3 = 3 * depth, a4 = 4 * depth, a5 = 5 * depth, a6 = 6 * depth, a7 = 7 * depth;
        for (int k = 0; k < depth; k++) {
            FloatVector x = FloatVector.fromArray(SPECIES, b, bi + k * LANES);
            r0 = x.fma(FloatVector.broadcast(SPECIES, a[k]), r0);
            r1 = x.fma(FloatVector.broadcast(SPECIES, a[a1 + k]), r1);
            r2 = x.fma(FloatVector.broadcast(SPECIES, a[a2 + k]), r2);
            r3 = x.fma(FloatVector.broadcast(SPECIES, a[a3 + k]), r3);
            r4 = x.fma(FloatVector.broadcast(SPECIES, a[a4 + k]), r4);
            r5 = x.fma(FloatVector.broadcast(SPECIES, a[a5 + k]), r5);
            r6 = x.fma(FloatVector.broadcast(SPECIES, a[a6 + k]), r6);
            r7 = x.fma(FloatVector.broadcast(SPECIES, a[a7 + k]), r7);
        }
        store(sums, r0, r1, r2, r3, r4, r5, r6, r7);
    }

    /** Eight neighbours in each column of a, whose columns lie {@code stride} elements apart, by one vector of columns of b. */
    private static void alongColumns(int depth, float[] a, int ai, int stride, float[] b, int bi, float[] sums) {
        FloatVector z = FloatVector.zero(SPECIES);
        FloatVector r0 = z, r1 = z, r2 = z, r3 = z, r4 = z, r5 = z, r6 = z, r7 = z;
        int at = ai;
        for (int k = 0; k < depth; k++, at += stride) {
            FloatVector x = FloatVector.fromArray(SPECIES, b, bi + k * LANES);
            r0 = x.fma(FloatVector.broadcast(SPECIES, a[at]), r0);
            r1 = x.fma(FloatVector.broadcast(SPECIES, a[at + 1]), r1);
            r2 = x.fma(FloatVector.broadcast(SPECIES, a[at + 2]), r2);
            r3 = x.fma(FloatVector.broadcast(SPECIES, a[at + 3]), r3);
            r4 = x.fma(FloatVector.broadcast(SPECIES, a[at + 4]), r4);
            r5 = x.fma(FloatVector.broadcast(SPECIES, a[at + 5]), r5);
            r6 = x.fma(FloatVector.broadcast(SPECIES, a[at + 6]), r6);
            r7 = x.fma(FloatVector.broadcast(SPECIES, a[at + 7]), r7);
        }
        store(sums, r0, r1, r2, r3, r4, r5, r6, r7);
    }

    private static void store(float[] sums, FloatVector r0, FloatVector r1, FloatVector r2, FloatVector r3, FloatVector r4, FloatVector r5, FloatVector r6, FloatVector r7) {
        r0.intoArray(sums, 0);
        r1.intoArray(sums, LANES);
        r2.intoArray(sums, 2 * LANES);
        r3.intoArray(sums, 3 * LANES);
        r4.intoArray(sums, 4 * LANES);
        r5.intoArray(sums, 5 * LANES);
        r6.intoArray(sums, 6 * LANES);
        r7.intoArray(sums, 7 * LANES);
    }
}
