package jqlora.data;

import java.util.Arrays;

/** Token ids, and of each whether it is trained on. */
final class MaskedTokens {
    static final MaskedTokens EMPTY = of(new int[0], false);

    private final int[] ids;
    private final boolean[] learned;

    private MaskedTokens(int[] ids, boolean[] learned) {
        this.ids = ids;
        this.learned = learned;
    }

    static MaskedTokens of(int[] ids, boolean learned) {
        boolean[] mask = new boolean[ids.length];
        Arrays.fill(mask, learned);
        return new MaskedTokens(ids, mask);
    }

    /** These, and {@code next} behind them. */
    MaskedTokens and(MaskedTokens next) {
        int[] joined = Arrays.copyOf(ids, ids.length + next.ids.length);
        boolean[] mask = Arrays.copyOf(learned, joined.length);
        System.arraycopy(next.ids, 0, joined, ids.length, next.ids.length);
        System.arraycopy(next.learned, 0, mask, ids.length, next.ids.length);
        return new MaskedTokens(joined, mask);
    }

    /** The first {@code count} of these. */
    MaskedTokens first(int count) {
        return new MaskedTokens(Arrays.copyOf(ids, count), Arrays.copyOf(learned, count));
    }

    int length() {
        return ids.length;
    }

    int id(int index) {
        return ids[index];
    }

    int[] toIds() {
        return ids;
    }

    boolean[] toMask() {
        return learned;
    }
}
