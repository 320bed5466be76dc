package jqlora.ops.cpu;

import java.lang.foreign.MemorySegment;
import java.lang.management.ManagementFactory;
import java.util.List;
import jdk.incubator.vector.FloatVector;

/**
 * The part of a product that one loop makes in registers: a few rows of a times a few vectors of columns of b. Each element is one sum
 * from the first summand to the last, {@code fma} after {@code fma}, so every shape gives the same bits. A processor has one shape, so
 * that each call of it is compiled into its caller.
 *
 * @see <a href="https://doi.org/10.1145/2925987">Low and others, Analytical modeling is enough for high-performance BLIS</a>
 */
sealed interface Tile permits Tile14x2, Tile6x2 {
    /**
     * The tile for this processor's preferred vectors. Two additions may begin in a cycle and each takes 4 or 5 cycles, so 8 to 10 sums
     * must be under way, more where short vectors come with four units (ARM); a tile holds rows x vectors sums, a vector of b for each
     * column and as many elements of a as the compiler reads ahead. 14 x 2 sums fill 32 registers, 6 x 2 fill 16.
     */
    static Tile ofProcessor() {
        int registers = onX86() && FloatVector.SPECIES_PREFERRED.vectorBitSize() < 512 ? 16 : 32;
        return registers == 32 ? new Tile14x2() : new Tile6x2();
    }

    /** Whether this is an x86, which has 32 vector registers with AVX-512 only; ARM and RISC-V always have. */
    static boolean onX86() {
        return List.of("amd64", "x86_64", "x86", "i386").contains(ManagementFactory.getOperatingSystemMXBean().getArch());
    }

    /** Rows of a in a tile. */
    int rows();

    /** Vectors of b in a row of a tile. */
    int vectors();

    /**
     * {@code c = a b}, or {@code c += a b}, of one tile.
     *
     * @param depth summands of an element
     * @param a     [depth, rows] from index {@code ai}
     * @param b     [depth, vectors * lanes] from index {@code bi}
     * @param c     [rows, vectors * lanes], rows {@code stride} elements apart, from element {@code at}
     * @param own   [rows, vectors * lanes], an array that only this thread writes; may be overwritten before c is written
     */
    void multiply(int depth, float[] a, int ai, float[] b, int bi, MemorySegment c, long at, long stride, boolean add, float[] own);
}
