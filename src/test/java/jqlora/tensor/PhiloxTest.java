package jqlora.tensor;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import org.junit.jupiter.api.Test;

/**
 * Known answers of philox4x32-10.
 *
 * @see <a href="https://github.com/DEShawResearch/random123/blob/main/tests/kat_vectors">Random123, kat_vectors</a>
 */
class PhiloxTest {
    @Test
    void zeros() {
        assertBlock(0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8);
    }

    @Test
    void ones() {
        assertBlock(-1, -1, -1, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd);
    }

    /** The digits of pi: counter 243f6a88 85a308d3 13198a2e 03707344, key a4093822 299f31d0. */
    @Test
    void pi() {
        assertBlock(0x299f31d0_a4093822L, 0x85a308d3_243f6a88L, 0x03707344_13198a2eL, 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1);
    }

    private static void assertBlock(long key, long low, long high, int... expected) {
        int[] out = {1, 2, 3, 4};
        Philox.block(key, low, high, out);
        assertArrayEquals(expected, out);
    }
}
