package jqlora.ops.cpu;

import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * 12 sums, for 16 registers: 15 hold the tile, if the compiler reads one element of a at a time. HotSpot reads several first, and then a
 * sum has no register and goes through memory at every step, which halves the speed. A store between the rows, which may be to the
 * array that is read, keeps later reads after it. Each goes to another element, since the compiler drops a store that repeats
 * the last one; they cost nothing, since the loop stores nothing else.
 */
final class Tile6x2 implements Tile {
    private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
    private static final int LANES = SPECIES.length();
    private static final ByteOrder ORDER = ByteOrder.LITTLE_ENDIAN;

    @Override
    public int rows() {
        return 6;
    }

    @Override
    public int vectors() {
        return 2;
    }

    @Override
    public void multiply(int depth, float[] a, int ai, float[] b, int bi, MemorySegment c, long at, long stride, boolean add, float[] own) {
        FloatVector z = FloatVector.zero(SPECIES);
        FloatVector r00 = z, r01 = z, r10 = z, r11 = z, r20 = z, r21 = z, r30 = z, r31 = z, r40 = z, r41 = z, r50 = z, r51 = z;
        for (int k = 0; k < depth; k++, ai += 6, bi += 2 * LANES) {
            FloatVector b0 = FloatVector.fromArray(SPECIES, b, bi), b1 = FloatVector.fromArray(SPECIES, b, bi + LANES);
            FloatVector x = FloatVector.broadcast(SPECIES, a[ai]);
            r00 = x.fma(b0, r00); r01 = x.fma(b1, r01);
            own[1] = 0;
            x = FloatVector.broadcast(SPECIES, a[ai + 1]);
            r10 = x.fma(b0, r10); r11 = x.fma(b1, r11);
            x = FloatVector.broadcast(SPECIES, a[ai + 2]);
            r20 = x.fma(b0, r20); r21 = x.fma(b1, r21);
            own[3] = 0;
            x = FloatVector.broadcast(SPECIES, a[ai + 3]);
            r30 = x.fma(b0, r30); r31 = x.fma(b1, r31);
            x = FloatVector.broadcast(SPECIES, a[ai + 4]);
            r40 = x.fma(b0, r40); r41 = x.fma(b1, r41);
            own[5] = 0;
            x = FloatVector.broadcast(SPECIES, a[ai + 5]);
            r50 = x.fma(b0, r50); r51 = x.fma(b1, r51);
        }
        long v = LANES * 4L, s = stride * 4, o0 = at * 4, o1 = o0 + s, o2 = o1 + s, o3 = o2 + s, o4 = o3 + s, o5 = o4 + s;
        if (add) {
            r00 = r00.add(load(c, o0)); r01 = r01.add(load(c, o0 + v)); r10 = r10.add(load(c, o1)); r11 = r11.add(load(c, o1 + v));
            r20 = r20.add(load(c, o2)); r21 = r21.add(load(c, o2 + v)); r30 = r30.add(load(c, o3)); r31 = r31.add(load(c, o3 + v));
            r40 = r40.add(load(c, o4)); r41 = r41.add(load(c, o4 + v)); r50 = r50.add(load(c, o5)); r51 = r51.add(load(c, o5 + v));
        }
        r00.intoMemorySegment(c, o0, ORDER); r01.intoMemorySegment(c, o0 + v, ORDER);
        r10.intoMemorySegment(c, o1, ORDER); r11.intoMemorySegment(c, o1 + v, ORDER);
        r20.intoMemorySegment(c, o2, ORDER); r21.intoMemorySegment(c, o2 + v, ORDER);
        r30.intoMemorySegment(c, o3, ORDER); r31.intoMemorySegment(c, o3 + v, ORDER);
        r40.intoMemorySegment(c, o4, ORDER); r41.intoMemorySegment(c, o4 + v, ORDER);
        r50.intoMemorySegment(c, o5, ORDER); r51.intoMemorySegment(c, o5 + v, ORDER);
    }

    private static FloatVector load(MemorySegment c, long offset) {
        return FloatVector.fromMemorySegment(SPECIES, c, offset, ORDER);
    }
}
