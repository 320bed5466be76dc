package jqlora.ops.cpu;

import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/** 16 sums, for 32 registers. */
final class Tile4x4 implements Tile {
    private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
    private static final int LANES = SPECIES.length();
    private static final ByteOrder ORDER = ByteOrder.LITTLE_ENDIAN;

    @Override
    public int rows() {
        return 4;
    }

    @Override
    public int vectors() {
        return 4;
    }

    @Override
    public void multiply(int depth, float[] a, int ai, float[] b, int bi, MemorySegment c, long at, long stride, boolean add, float[] own) {
        FloatVector z = FloatVector.zero(SPECIES);
        FloatVector r00 = z, r01 = z, r02 = z, r03 = z, r10 = z, r11 = z, r12 = z, r13 = z;
        FloatVector r20 = z, r21 = z, r22 = z, r23 = z, r30 = z, r31 = z, r32 = z, r33 = z;
        for (int k = 0; k < depth; k++, ai += 4, bi += 4 * LANES) {
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

    private static FloatVector load(MemorySegment c, long offset) {
        return FloatVector.fromMemorySegment(SPECIES, c, offset, ORDER);
    }
}
