package jqlora.tensor;

/**
 * Philox4x32-10: random bits as a function of a key and a counter, so that the same element gets the same bits in whatever
 * order, on whatever device, and again when an activation is recomputed.
 *
 * @see <a href="https://doi.org/10.1145/2063384.2063405">Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC 2011)</a>
 */
public final class Philox {
    private static final long M0 = 0xD2511F53L, M1 = 0xCD9E8D57L;
    private static final int W0 = 0x9E3779B9, W1 = 0xBB67AE85;
    private static final int ROUNDS = 10;

    private Philox() { }

    /**
     * Writes the 128 random bits of one counter value.
     *
     * @param key the stream, such as a seed
     * @param low counter words 0 and 1, such as an element index
     * @param high counter words 2 and 3, such as a step and a module number
     * @param out [4], overwritten
     */
    public static void block(long key, long low, long high, int[] out) {
        int k0 = (int) key, k1 = (int) (key >>> 32);
        int c0 = (int) low, c1 = (int) (low >>> 32), c2 = (int) high, c3 = (int) (high >>> 32);
        for (int round = 0; round < ROUNDS; round++) {
            long p0 = M0 * (c0 & 0xffffffffL), p1 = M1 * (c2 & 0xffffffffL);
            int n0 = (int) (p1 >>> 32) ^ c1 ^ k0, n2 = (int) (p0 >>> 32) ^ c3 ^ k1;
            c1 = (int) p1;
            c3 = (int) p0;
            c0 = n0;
            c2 = n2;
            k0 += W0;
            k1 += W1;
        }
        out[0] = c0;
        out[1] = c1;
        out[2] = c2;
        out[3] = c3;
    }
}
