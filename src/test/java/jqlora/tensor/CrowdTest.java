package jqlora.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class CrowdTest {
    private static final long MILLI = 1_000_000;

    private long now, waited;
    private final Crowd crowd = new Crowd(() -> now, () -> waited);

    /** Lets time pass in which the team waits for a processor that part of it; whether one thread should work alone then. */
    private boolean after(long millis, double waiting) {
        for (long i = 0; i < millis; i++) {
            now += MILLI;
            waited += (long) (waiting * MILLI);
            crowd.isThere();
        }
        return crowd.isThere();
    }

    @Test
    void aQuietMachineKeepsTheTeam() {
        assertFalse(after(1000, 0));
        assertFalse(after(1000, 0.2));
    }

    @Test
    void whoWaitsMuchWorksAloneAndTriesAgainAfterLongerAndLongerRests() {
        assertTrue(after(20, 1));
        assertTrue(after(99, 0));
        assertFalse(after(1, 0));
        assertTrue(after(20, 1));
        assertTrue(after(199, 0));
        assertFalse(after(1, 0));
        for (int i = 0; i < 6; i++) {
            after(20, 1);
            for (int rest = 0; crowd.isThere() && rest < 2000; rest++) {
                after(1, 0);
            }
        }
        assertTrue(after(20, 1));
        long began = now;
        while (crowd.isThere()) {
            after(1, 0);
        }
        assertEquals(Crowd.LONGEST_REST_NANOS, now - began, 2 * MILLI);
    }

    @Test
    void aQuietTrialBringsTheTeamBackAndTheShortRests() {
        after(20, 1);
        after(100, 0);
        assertFalse(after(20, 0.1));
        assertTrue(after(20, 1));
        assertFalse(after(100, 0));
    }

    @Test
    void whereTheWaitsAreNotKnownTheTeamStays() {
        waited = -1;
        Crowd unknown = new Crowd(() -> now, () -> -1);
        for (int i = 0; i < 100; i++) {
            now += MILLI;
            assertFalse(unknown.isThere());
        }
    }
}
