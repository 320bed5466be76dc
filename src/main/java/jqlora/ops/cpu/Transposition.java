package jqlora.ops.cpu;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorShuffle;
import jdk.incubator.vector.VectorSpecies;

/** Turns rows into columns, eight by eight in registers where vectors are long enough. */
final class Transposition {
    private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_256;
    private static final boolean VECTORS = FloatVector.SPECIES_PREFERRED.length() >= 8;
    /** Exchange at a distance of 1, 2 and 4 lanes: where the lanes of the other vector come from, and which lanes of the first stay. */
    private static final VectorShuffle<Float> UP_1 = rotated(-1), UP_2 = rotated(-2), UP_4 = rotated(-4), DOWN_1 = rotated(1), DOWN_2 = rotated(2);
    private static final VectorMask<Float> ODD_1 = upper(1), ODD_2 = upper(2), ODD_4 = upper(4);

    private Transposition() { }

    private static VectorShuffle<Float> rotated(int by) {
        return VectorShuffle.iota(SPECIES, by & 7, 1, true);
    }

    private static VectorMask<Float> upper(int bit) {
        int lanes = 0;
        for (int lane = 0; lane < 8; lane++) {
            lanes |= (lane & bit) != 0 ? 1 << lane : 0;
        }
        return VectorMask.fromLong(SPECIES, lanes);
    }

    /**
     * {@code out[at + k * stride + i] = rows[i * depth + k]} for all i below {@code count} and k below {@code depth}.
     *
     * @param rows  [count, depth], in an array that has room for {@link #rowsRead}; rows beyond the last are read and not used
     * @param count 8, or {@code stride}
     */
    static void transpose(float[] rows, int count, int depth, float[] out, int at, int stride) {
        // eight columns at once: what is too much is the beginning of the next line, which is written later, or of what comes after the last
        int whole = VECTORS ? depth - 1 & ~7 : 0;
        for (int first = count - 1 & ~7; first >= 0; first -= 8) {
            for (int k = 0; k < whole; k += 8) {
                eight(rows, first * depth + k, depth, out, at + first + k * stride, stride);
            }
        }
        for (int k = whole; k < depth; k++) {
            for (int i = 0; i < count; i++) {
                out[at + k * stride + i] = rows[i * depth + k];
            }
        }
    }

    /** How many rows {@link #transpose} reads of {@code count}. */
    static int rowsRead(int count) {
        return count + 7 & ~7;
    }

    /** Eight elements of each of eight rows. */
    private static void eight(float[] in, int from, int rowStride, float[] out, int to, int stride) {
        FloatVector r0 = FloatVector.fromArray(SPECIES, in, from), r1 = FloatVector.fromArray(SPECIES, in, from + rowStride);
        FloatVector r2 = FloatVector.fromArray(SPECIES, in, from + 2 * rowStride), r3 = FloatVector.fromArray(SPECIES, in, from + 3 * rowStride);
        FloatVector r4 = FloatVector.fromArray(SPECIES, in, from + 4 * rowStride), r5 = FloatVector.fromArray(SPECIES, in, from + 5 * rowStride);
        FloatVector r6 = FloatVector.fromArray(SPECIES, in, from + 6 * rowStride), r7 = FloatVector.fromArray(SPECIES, in, from + 7 * rowStride);
        FloatVector s0 = r0.blend(r1.rearrange(UP_1), ODD_1), s1 = r0.rearrange(DOWN_1).blend(r1, ODD_1);
        FloatVector s2 = r2.blend(r3.rearrange(UP_1), ODD_1), s3 = r2.rearrange(DOWN_1).blend(r3, ODD_1);
        FloatVector s4 = r4.blend(r5.rearrange(UP_1), ODD_1), s5 = r4.rearrange(DOWN_1).blend(r5, ODD_1);
        FloatVector s6 = r6.blend(r7.rearrange(UP_1), ODD_1), s7 = r6.rearrange(DOWN_1).blend(r7, ODD_1);
        r0 = s0.blend(s2.rearrange(UP_2), ODD_2);
        r2 = s0.rearrange(DOWN_2).blend(s2, ODD_2);
        r1 = s1.blend(s3.rearrange(UP_2), ODD_2);
        r3 = s1.rearrange(DOWN_2).blend(s3, ODD_2);
        r4 = s4.blend(s6.rearrange(UP_2), ODD_2);
        r6 = s4.rearrange(DOWN_2).blend(s6, ODD_2);
        r5 = s5.blend(s7.rearrange(UP_2), ODD_2);
        r7 = s5.rearrange(DOWN_2).blend(s7, ODD_2);
        r0.blend(r4.rearrange(UP_4), ODD_4).intoArray(out, to);
        r1.blend(r5.rearrange(UP_4), ODD_4).intoArray(out, to + stride);
        r2.blend(r6.rearrange(UP_4), ODD_4).intoArray(out, to + 2 * stride);
        r3.blend(r7.rearrange(UP_4), ODD_4).intoArray(out, to + 3 * stride);
        r0.rearrange(UP_4).blend(r4, ODD_4).intoArray(out, to + 4 * stride);
        r1.rearrange(UP_4).blend(r5, ODD_4).intoArray(out, to + 5 * stride);
        r2.rearrange(UP_4).blend(r6, ODD_4).intoArray(out, to + 6 * stride);
        r3.rearrange(UP_4).blend(r7, ODD_4).intoArray(out, to + 7 * stride);
    }
}
