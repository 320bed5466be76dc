package jqlora.ops.cpu;

import static jqlora.ops.cpu.ColumnPanels.grown;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorShuffle;
import jdk.incubator.vector.VectorSpecies;
import jqlora.tensor.TensorView;
import jqlora.tensor.Workers;

/**
 * Products on the Vector API. Both factors are packed into panels that lie in the caches: a of as many rows, b of as many
 * columns as a {@link Tile} has; a 4-bit weight is decoded while it is packed, so it never exists as a whole. A result that is
 * narrower than a tile is {@link NarrowProduct}'s.
 *
 * <p>Every element of the result is a sum in a fixed order that does not depend on the other rows and columns, or on where the element
 * lies, so that a sequence has the same result alone and in a batch. Up to {@value #FEW_ROWS} rows times a transposed factor are
 * the exception: their order is another one.
 *
 * @see <a href="https://doi.org/10.1145/1356052.1356053">Goto and van de Geijn, Anatomy of high-performance matrix multiplication</a>
 */
final class VectorProduct implements Product {
    private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
    private static final int LANES = SPECIES.length();
    private static final ByteOrder ORDER = ByteOrder.LITTLE_ENDIAN;
    private static final Tile TILE = Tile.ofProcessor();
    private static final int TILE_ROWS = TILE.rows(), WIDE = TILE.vectors() * LANES;
    /** Columns from which on it pays to rearrange the rows of a; its columns already lie as a tile reads them. */
    private static final int NARROW = Math.max(WIDE, 24);
    /** Panels of b that are made at once: 128 columns, so that a weight in blocks of 64 is decoded in whole blocks. */
    private static final int GROUP = Math.max(1, 128 / WIDE);
    private static final int DEPTH = 384;                         // of a panel: a few rows of a stay in L1, a panel of b in L2
    private static final int FEW_ROWS = 4;                        // up to here packing b costs more than it saves

    private static final VectorShuffle<Float> BY_8 = rotation(8), BY_4 = rotation(4), BY_2 = rotation(2);

    private static VectorShuffle<Float> rotation(int lanes) {
        return VectorShuffle.iota(SPECIES, lanes, 1, true);
    }

    private final Workers workers;
    private final ThreadLocal<float[]> packedA = ThreadLocal.withInitial(() -> new float[0]);
    private final ThreadLocal<float[]> packedB = ThreadLocal.withInitial(() -> new float[0]);
    private final ThreadLocal<float[]> rowBuffer = ThreadLocal.withInitial(() -> new float[0]);
    private final ThreadLocal<float[]> tileSums = ThreadLocal.withInitial(() -> new float[TILE_ROWS * WIDE]);
    /** Outside the heap like the results of a model: the compiled code of a tile then meets one kind of memory, and checks it without a call. */
    private final ThreadLocal<MemorySegment> edge = ThreadLocal.withInitial(() -> Arena.ofAuto().allocate(4L * TILE_ROWS * WIDE, 64));
    private final ColumnPanels columns = new ColumnPanels(LANES);
    private final NarrowProduct narrow;

    VectorProduct(Workers workers) {
        this.workers = workers;
        this.narrow = new NarrowProduct(workers, DEPTH);
    }

    @Override
    public String description() {
        return "Vector API, " + SPECIES.vectorBitSize() + " bits, " + workers.size() + " threads";
    }

    @Override
    public void multiply(Factor a, Factor b, Target c, float scale, boolean accumulate) {
        int m = a.rows(), n = b.columns(), k = a.columns();
        if (b.rows() != k) {
            throw new AssertionError("product of [" + m + ", " + k + "] and [" + b.rows() + ", " + n + "]");
        }
        if (m <= FEW_ROWS && b.transposed() && !a.transposed()) {
            multiplyFewRows(a.source(), b.source(), c, scale, accumulate);
            return;
        }
        if (n < (a.transposed() ? WIDE : NARROW)) {
            narrow.multiply(a, b, c, scale, accumulate);
            return;
        }
        int rowPanels = Math.ceilDiv(m, TILE_ROWS), columnPanels = Math.ceilDiv(n, WIDE), groups = Math.ceilDiv(columnPanels, GROUP);
        float[] aPanels = grown(packedA, rowPanels * TILE_ROWS * Math.min(DEPTH, k));
        for (int k0 = 0; k0 < k; k0 += DEPTH) {
            int depth = Math.min(DEPTH, k - k0), from = k0;
            boolean add = accumulate || k0 > 0;
            packRows(a, from, depth, scale, aPanels);
            PanelLoop.run(workers, groups, rowPanels, TILE_ROWS, group -> {
                int panel = group * GROUP;
                float[] packed = grown(packedB, GROUP * WIDE * depth);
                columns.pack(b, from, depth, panel * WIDE, WIDE, Math.min(GROUP, columnPanels - panel), packed, 0);
                return packed;
            }, (group, packed, first, last) -> {
                int panel = group * GROUP;
                tiles(aPanels, first, last, m, packed, depth, new Area(c, panel * WIDE, Math.min(GROUP, columnPanels - panel), n, add));
            });
        }
    }

    /** The columns of the result that {@code panels} panels of b give; {@code columns} is the width of the whole result. */
    private record Area(Target c, int column, int panels, int columns, boolean add) { }

    // ---- packing

    /** Panels of TILE_ROWS rows of a: [panel][k][row], rows beyond the last are zero. */
    private void packRows(Factor a, int k0, int depth, float scale, float[] panels) {
        int m = a.rows(), rowPanels = Math.ceilDiv(m, TILE_ROWS);
        if (a.transposed()) {
            workers.run(Math.ceilDiv(depth, 16), part -> {
                float[] row = grown(rowBuffer, m + TILE_ROWS);
                for (int k = part * 16; k < Math.min(depth, part * 16 + 16); k++) {
                    a.source().read(k0 + k, 0, m, row, 0);
                    Arrays.fill(row, m, m + TILE_ROWS, 0f);
                    scale(row, m, scale);
                    for (int panel = 0; panel < rowPanels; panel++) {
                        System.arraycopy(row, panel * TILE_ROWS, panels, (panel * depth + k) * TILE_ROWS, TILE_ROWS);
                    }
                }
            });
            return;
        }
        workers.run(Math.ceilDiv(rowPanels, 8), part -> {
            float[] rows = grown(rowBuffer, Transposition.rowsRead(TILE_ROWS) * depth);
            for (int panel = part * 8; panel < Math.min(rowPanels, part * 8 + 8); panel++) {
                int count = Math.min(TILE_ROWS, m - panel * TILE_ROWS);
                for (int i = 0; i < count; i++) {
                    a.source().read(panel * TILE_ROWS + i, k0, depth, rows, i * depth);
                }
                Arrays.fill(rows, count * depth, TILE_ROWS * depth, 0f);
                scale(rows, count * depth, scale);
                Transposition.transpose(rows, TILE_ROWS, depth, panels, panel * depth * TILE_ROWS, TILE_ROWS);
            }
        });
    }

    private static void scale(float[] values, int count, float scale) {
        if (scale != 1f) {
            for (int i = 0; i < count; i++) {
                values[i] *= scale;
            }
        }
    }

    // ---- tiles

    private void tiles(float[] a, int firstPanel, int lastPanel, int m, float[] b, int depth, Area area) {
        float[] own = tileSums.get();
        MemorySegment tile = edge.get();
        // a panel of b stays in the first cache while the rows of a pass by
        for (int j = 0; j < area.panels; j++) {
            int column = area.column + j * WIDE, columns = Math.min(WIDE, area.columns - column), at = j * WIDE * depth;
            for (int panel = firstPanel; panel < lastPanel; panel++) {
                int row = panel * TILE_ROWS, rows = Math.min(TILE_ROWS, m - row);
                long to = area.c.first() + row * area.c.stride() + column;
                if (rows == TILE_ROWS && columns == WIDE) {
                    TILE.multiply(depth, a, row * depth, b, at, area.c.memory(), to, area.c.stride(), area.add, own);
                } else {
                    TILE.multiply(depth, a, row * depth, b, at, tile, 0, WIDE, false, own);
                    copy(tile, rows, columns, area.c, to, area.add);
                }
            }
        }
    }

    /** A tile that goes over the edge of the result. */
    private static void copy(MemorySegment tile, int rows, int columns, Target c, long at, boolean add) {
        for (int i = 0; i < rows; i++) {
            long offset = (at + i * c.stride()) * 4;
            int j = 0;
            for (; j + LANES <= columns; j += LANES, offset += LANES * 4L) {
                FloatVector sum = FloatVector.fromMemorySegment(SPECIES, tile, (i * WIDE + j) * 4L, ORDER);
                (add ? sum.add(FloatVector.fromMemorySegment(SPECIES, c.memory(), offset, ORDER)) : sum).intoMemorySegment(c.memory(), offset, ORDER);
            }
            for (; j < columns; j++, offset += 4) {
                float sum = tile.get(TensorView.FLOAT, (i * WIDE + j) * 4L);
                c.memory().set(TensorView.FLOAT, offset, add ? c.memory().get(TensorView.FLOAT, offset) + sum : sum);
            }
        }
    }

    // ---- few rows

    /** {@code a b^T} for one to four rows of a, as in decoding token by token: a dot product for each row of b, read once. */
    private void multiplyFewRows(MatrixSource a, MatrixSource b, Target c, float scale, boolean accumulate) {
        int m = a.rows(), n = b.rows(), k = a.columns();
        float[] x = new float[m * k];
        for (int row = 0; row < m; row++) {
            a.read(row, 0, k, x, row * k);
        }
        workers.ranges(n, Math.max(1, (1 << 16) / k), (from, to) -> {
            float[] w = grown(rowBuffer, k);
            for (int column = (int) from; column < to; column++) {
                b.read(column, 0, k, w, 0);
                for (int row = 0; row < m; row++) {
                    long offset = (c.first() + row * c.stride() + column) * 4;
                    float dot = scale * dot(x, row * k, w, k);
                    c.memory().set(TensorView.FLOAT, offset, accumulate ? c.memory().get(TensorView.FLOAT, offset) + dot : dot);
                }
            }
        });
    }

    private static float dot(float[] x, int at, float[] y, int count) {
        FloatVector s0 = FloatVector.zero(SPECIES), s1 = s0, s2 = s0, s3 = s0;
        int i = 0;
        for (; i + 4 * LANES <= count; i += 4 * LANES) {
            s0 = FloatVector.fromArray(SPECIES, x, at + i).fma(FloatVector.fromArray(SPECIES, y, i), s0);
            s1 = FloatVector.fromArray(SPECIES, x, at + i + LANES).fma(FloatVector.fromArray(SPECIES, y, i + LANES), s1);
            s2 = FloatVector.fromArray(SPECIES, x, at + i + 2 * LANES).fma(FloatVector.fromArray(SPECIES, y, i + 2 * LANES), s2);
            s3 = FloatVector.fromArray(SPECIES, x, at + i + 3 * LANES).fma(FloatVector.fromArray(SPECIES, y, i + 3 * LANES), s3);
        }
        float sum = sum(s0.add(s1).add(s2.add(s3)));
        for (; i < count; i++) {
            sum += x[at + i] * y[i];
        }
        return sum;
    }

    /** The sum of the lanes, halves added to halves; reduceLanes may add in another order once it is compiled. */
    private static float sum(FloatVector lanes) {
        FloatVector sum = lanes;
        if (LANES >= 16) {
            sum = sum.add(sum.rearrange(BY_8));
        }
        if (LANES >= 8) {
            sum = sum.add(sum.rearrange(BY_4));
        }
        if (LANES >= 4) {
            sum = sum.add(sum.rearrange(BY_2));
        }
        return sum.lane(0) + sum.lane(1);
    }
}
