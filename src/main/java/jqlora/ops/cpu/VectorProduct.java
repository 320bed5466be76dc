package jqlora.ops.cpu;

import static jqlora.ops.cpu.ColumnPanels.grown;

import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorShuffle;
import jdk.incubator.vector.VectorSpecies;
import jqlora.tensor.TensorView;
import jqlora.tensor.Workers;

/**
 * Products on the Vector API. Both factors are packed into panels that lie in the caches: a of {@value #TILE_ROWS} rows, b of as many
 * columns as a tile of accumulators holds; a 4-bit weight is decoded while it is packed, so it never exists as a whole. A result that is
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
    private static final int TILE_ROWS = 4;
    /** Vectors in a row of a tile: 16 accumulators where there are 32 registers (512 bits, and ARM's 128), 12 where there are 16. */
    private static final int TILE_VECTORS = LANES == 8 ? 3 : 4;
    private static final int WIDE = TILE_VECTORS * LANES;
    private static final int DEPTH = 384;                         // of a panel: 4 rows of a stay in L1, a panel of b in L2
    private static final int FEW_ROWS = 4;                        // up to here packing b costs more than it saves

    private static final VectorShuffle<Float> BY_8 = rotation(8), BY_4 = rotation(4), BY_2 = rotation(2);

    private static VectorShuffle<Float> rotation(int lanes) {
        return VectorShuffle.iota(SPECIES, lanes, 1, true);
    }

    private final Workers workers;
    private final ThreadLocal<float[]> packedA = ThreadLocal.withInitial(() -> new float[0]);
    private final ThreadLocal<float[]> packedB = ThreadLocal.withInitial(() -> new float[0]);
    private final ThreadLocal<float[]> rowBuffer = ThreadLocal.withInitial(() -> new float[0]);
    private final ThreadLocal<float[]> edge = ThreadLocal.withInitial(() -> new float[TILE_ROWS * WIDE]);
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
        if (n < WIDE) {
            narrow.multiply(a, b, c, scale, accumulate);
            return;
        }
        int rowPanels = Math.ceilDiv(m, TILE_ROWS), columnPanels = Math.ceilDiv(n, WIDE);
        float[] aPanels = grown(packedA, rowPanels * TILE_ROWS * Math.min(DEPTH, k));
        for (int k0 = 0; k0 < k; k0 += DEPTH) {
            int depth = Math.min(DEPTH, k - k0), from = k0;
            boolean add = accumulate || k0 > 0;
            packRows(a, from, depth, scale, aPanels);
            PanelLoop.run(workers, columnPanels, rowPanels, TILE_ROWS, panel -> {
                float[] packed = grown(packedB, WIDE * depth);
                columns.pack(b, from, depth, panel * WIDE, WIDE, packed, 0);
                return packed;
            }, (panel, packed, first, last) -> tiles(aPanels, first, last, m, packed, 0, depth, new Area(c, panel * WIDE, n, add)));
        }
    }

    /** The columns of the result that one panel of b gives. */
    private record Area(Target c, int column, int columns, boolean add) { }

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
            float[] rows = grown(rowBuffer, TILE_ROWS * depth);
            for (int panel = part * 8; panel < Math.min(rowPanels, part * 8 + 8); panel++) {
                int count = Math.min(TILE_ROWS, m - panel * TILE_ROWS);
                for (int i = 0; i < count; i++) {
                    a.source().read(panel * TILE_ROWS + i, k0, depth, rows, i * depth);
                }
                Arrays.fill(rows, count * depth, TILE_ROWS * depth, 0f);
                scale(rows, count * depth, scale);
                int at = panel * depth * TILE_ROWS;
                for (int k = 0; k < depth; k++, at += TILE_ROWS) {
                    panels[at] = rows[k];
                    panels[at + 1] = rows[depth + k];
                    panels[at + 2] = rows[2 * depth + k];
                    panels[at + 3] = rows[3 * depth + k];
                }
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

    private void tiles(float[] a, int firstPanel, int lastPanel, int m, float[] b, int bAt, int depth, Area area) {
        float[] tile = edge.get();
        MemorySegment heap = MemorySegment.ofArray(tile);
        boolean fullWidth = area.column + WIDE <= area.columns;
        for (int panel = firstPanel; panel < lastPanel; panel++) {
            int row = panel * TILE_ROWS, aAt = panel * depth * TILE_ROWS;
            long at = area.c.first() + row * area.c.stride() + area.column;
            boolean whole = fullWidth && row + TILE_ROWS <= m;
            if (TILE_VECTORS == 4) {
                tile4x4(depth, a, aAt, b, bAt, whole ? area.c.memory() : heap, whole ? at : 0, whole ? area.c.stride() : WIDE, whole && area.add);
            } else {
                tile4x3(depth, a, aAt, b, bAt, whole ? area.c.memory() : heap, whole ? at : 0, whole ? area.c.stride() : WIDE, whole && area.add);
            }
            if (whole) {
                continue;
            }
            int rows = Math.min(TILE_ROWS, m - row), columns = Math.min(WIDE, area.columns - area.column);
            for (int i = 0; i < rows; i++) {
                for (int j = 0; j < columns; j++) {
                    long offset = (at + i * area.c.stride() + j) * 4;
                    float sum = tile[i * WIDE + j];
                    area.c.memory().set(TensorView.FLOAT, offset, area.add ? area.c.memory().get(TensorView.FLOAT, offset) + sum : sum);
                }
            }
        }
    }

    private static void tile4x4(int depth, float[] a, int ai, float[] b, int bi, MemorySegment c, long at, long stride, boolean add) {
        FloatVector z = FloatVector.zero(SPECIES);
        FloatVector r00 = z, r01 = z, r02 = z, r03 = z, r10 = z, r11 = z, r12 = z, r13 = z;
        FloatVector r20 = z, r21 = z, r22 = z, r23 = z, r30 = z, r31 = z, r32 = z, r33 = z;
        for (int k = 0; k < depth; k++, ai += TILE_ROWS, bi += 4 * LANES) {
            FloatVector b0 = FloatVector.fromArray(SPECIES, b, bi), b1 = FloatVector.fromArray(SPECIES, b, bi + LANES);
            FloatVector b2 = FloatVector.fromArray(SPECIES, b, bi + 2 * LANES), b3 = FloatVector.fromArray(SPECIES, b, bi + 3 * LANES);
            FloatVector x = FloatVector.broadcast(SPECIES, a[ai]);
            r00 = x.fma(b0, r00); r01 = x.fma(b1, r01); r02 = x.fma(b2, r02); r03 = x.fma(b3, r03);
            x = FloatVector.broadcast(SPECIES, a[ai + 1]);
            r10 = x.fma(b0, r10); r11 = x.fma(b1, r11); r12 = x.fma(b2, r12); r13 = x.fma(b3, r13);
            x = FloatVector.broadcast(SPECIES, a[ai + 2]);
            r20 = x.fma(b0, r20); r21 = x.fma(b1, r21); r22 = x.fma(b2, r22); r23 = x.fma(b3, r23);
            x = FloatVector.broadcast(SPECIES, a[ai + 3]);
            r30 = x.fma(b0, r30); r31 = x.fma(b1, r31); r32 = x.fma(b2, r32); r33 = x.fma(b3, r33);
        }
        long o0 = at * 4, o1 = o0 + stride * 4, o2 = o1 + stride * 4, o3 = o2 + stride * 4, v = LANES * 4L;
        if (add) {
            r00 = r00.add(load(c, o0)); r01 = r01.add(load(c, o0 + v)); r02 = r02.add(load(c, o0 + 2 * v)); r03 = r03.add(load(c, o0 + 3 * v));
            r10 = r10.add(load(c, o1)); r11 = r11.add(load(c, o1 + v)); r12 = r12.add(load(c, o1 + 2 * v)); r13 = r13.add(load(c, o1 + 3 * v));
            r20 = r20.add(load(c, o2)); r21 = r21.add(load(c, o2 + v)); r22 = r22.add(load(c, o2 + 2 * v)); r23 = r23.add(load(c, o2 + 3 * v));
            r30 = r30.add(load(c, o3)); r31 = r31.add(load(c, o3 + v)); r32 = r32.add(load(c, o3 + 2 * v)); r33 = r33.add(load(c, o3 + 3 * v));
        }
        r00.intoMemorySegment(c, o0, ORDER); r01.intoMemorySegment(c, o0 + v, ORDER);
        r02.intoMemorySegment(c, o0 + 2 * v, ORDER); r03.intoMemorySegment(c, o0 + 3 * v, ORDER);
        r10.intoMemorySegment(c, o1, ORDER); r11.intoMemorySegment(c, o1 + v, ORDER);
        r12.intoMemorySegment(c, o1 + 2 * v, ORDER); r13.intoMemorySegment(c, o1 + 3 * v, ORDER);
        r20.intoMemorySegment(c, o2, ORDER); r21.intoMemorySegment(c, o2 + v, ORDER);
        r22.intoMemorySegment(c, o2 + 2 * v, ORDER); r23.intoMemorySegment(c, o2 + 3 * v, ORDER);
        r30.intoMemorySegment(c, o3, ORDER); r31.intoMemorySegment(c, o3 + v, ORDER);
        r32.intoMemorySegment(c, o3 + 2 * v, ORDER); r33.intoMemorySegment(c, o3 + 3 * v, ORDER);
    }

    private static void tile4x3(int depth, float[] a, int ai, float[] b, int bi, MemorySegment c, long at, long stride, boolean add) {
        FloatVector z = FloatVector.zero(SPECIES);
        FloatVector r00 = z, r01 = z, r02 = z, r10 = z, r11 = z, r12 = z, r20 = z, r21 = z, r22 = z, r30 = z, r31 = z, r32 = z;
        for (int k = 0; k < depth; k++, ai += TILE_ROWS, bi += 3 * LANES) {
            FloatVector b0 = FloatVector.fromArray(SPECIES, b, bi), b1 = FloatVector.fromArray(SPECIES, b, bi + LANES);
            FloatVector b2 = FloatVector.fromArray(SPECIES, b, bi + 2 * LANES);
            FloatVector x = FloatVector.broadcast(SPECIES, a[ai]);
            r00 = x.fma(b0, r00); r01 = x.fma(b1, r01); r02 = x.fma(b2, r02);
            x = FloatVector.broadcast(SPECIES, a[ai + 1]);
            r10 = x.fma(b0, r10); r11 = x.fma(b1, r11); r12 = x.fma(b2, r12);
            x = FloatVector.broadcast(SPECIES, a[ai + 2]);
            r20 = x.fma(b0, r20); r21 = x.fma(b1, r21); r22 = x.fma(b2, r22);
            x = FloatVector.broadcast(SPECIES, a[ai + 3]);
            r30 = x.fma(b0, r30); r31 = x.fma(b1, r31); r32 = x.fma(b2, r32);
        }
        long o0 = at * 4, o1 = o0 + stride * 4, o2 = o1 + stride * 4, o3 = o2 + stride * 4, v = LANES * 4L;
        if (add) {
            r00 = r00.add(load(c, o0)); r01 = r01.add(load(c, o0 + v)); r02 = r02.add(load(c, o0 + 2 * v));
            r10 = r10.add(load(c, o1)); r11 = r11.add(load(c, o1 + v)); r12 = r12.add(load(c, o1 + 2 * v));
            r20 = r20.add(load(c, o2)); r21 = r21.add(load(c, o2 + v)); r22 = r22.add(load(c, o2 + 2 * v));
            r30 = r30.add(load(c, o3)); r31 = r31.add(load(c, o3 + v)); r32 = r32.add(load(c, o3 + 2 * v));
        }
        r00.intoMemorySegment(c, o0, ORDER); r01.intoMemorySegment(c, o0 + v, ORDER); r02.intoMemorySegment(c, o0 + 2 * v, ORDER);
        r10.intoMemorySegment(c, o1, ORDER); r11.intoMemorySegment(c, o1 + v, ORDER); r12.intoMemorySegment(c, o1 + 2 * v, ORDER);
        r20.intoMemorySegment(c, o2, ORDER); r21.intoMemorySegment(c, o2 + v, ORDER); r22.intoMemorySegment(c, o2 + 2 * v, ORDER);
        r30.intoMemorySegment(c, o3, ORDER); r31.intoMemorySegment(c, o3 + v, ORDER); r32.intoMemorySegment(c, o3 + 2 * v, ORDER);
    }

    private static FloatVector load(MemorySegment c, long offset) {
        return FloatVector.fromMemorySegment(SPECIES, c, offset, ORDER);
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
