package jqlora.ops;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.BitSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class DropoutMaskTest {
    private static final int GROUPS = 1 << 17;                    // a million elements

    private static BitSet kept(long key, int module, float dropout) {
        DropoutMask mask = new DropoutMask(key, module, dropout);
        BitSet kept = new BitSet();
        boolean[] group = new boolean[DropoutMask.GROUP];
        int[] bits = new int[4];
        for (int i = 0; i < GROUPS; i++) {
            mask.kept(i, bits, group);
            for (int j = 0; j < group.length; j++) {
                kept.set(i * DropoutMask.GROUP + j, group[j]);
            }
        }
        return kept;
    }

    @ParameterizedTest
    @ValueSource(floats = {0, 0.05f, 0.1f, 0.5f, 0.9f, 0.999f})
    void keepsItsShare(float dropout) {
        int elements = GROUPS * DropoutMask.GROUP, kept = kept(7, 3, dropout).cardinality();
        double expected = elements * (1 - Math.round(dropout * 65536) / 65536.0), deviation = Math.sqrt(expected * dropout);
        assertTrue(Math.abs(kept - expected) <= 4 * deviation, kept + " kept, expected " + expected + " with a deviation of " + deviation);
    }

    @Test
    void scaleKeepsTheMean() {
        assertEquals(1f, new DropoutMask(1, 1, 0).scale());
        assertEquals(2f, new DropoutMask(1, 1, 0.5f).scale());
        assertEquals(1.25f, new DropoutMask(1, 1, 0.2f).scale());
    }

    /** Masks of other keys and modules agree in half of the elements, as chance has it: 4 deviations of 512. */
    @Test
    void keyAndModuleDecide() {
        BitSet mask = kept(1L << 40, 5, 0.5f);
        assertEquals(mask, kept(1L << 40, 5, 0.5f));
        for (BitSet other : new BitSet[] {kept(1L << 40, 6, 0.5f), kept(1L << 41, 5, 0.5f), kept(5, 5, 0.5f), kept(1L << 40, -5, 0.5f)}) {
            other.xor(mask);
            assertTrue(Math.abs(other.cardinality() - GROUPS * DropoutMask.GROUP / 2) < 4 * 512, other.cardinality() + " differ");
        }
    }

    /** What a weaker dropout drops, a stronger one drops too: both compare the same bits. */
    @Test
    void strongerDropoutDropsMore() {
        BitSet weak = kept(9, 1, 0.1f), strong = kept(9, 1, 0.3f);
        strong.andNot(weak);
        assertEquals(0, strong.cardinality());
    }

    @Test
    void theReferenceAgrees() {
        BitSet kept = kept(11, 2, 0.2f);
        Matrix mask = ReferenceLinear.mask(63, 65, 11, 2, 0.2f);
        for (int i = 0; i < 63 * 65; i++) {
            assertEquals(kept.get(i), mask.get(i / 65, i % 65) != 0, "element " + i);
        }
    }
}
