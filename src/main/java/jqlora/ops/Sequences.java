package jqlora.ops;

import java.util.Arrays;

/**
 * Where the sequences of a batch lie among its rows: one after the other, without padding between them. A token attends only
 * within its own sequence, and its position counts from the start of that sequence.
 */
public final class Sequences {
    private final int[] offsets;
    private final int[] past;

    private Sequences(int[] offsets, int[] past) {
        this.offsets = offsets;
        this.past = past;
    }

    /**
     * Sequences of the given lengths.
     *
     * @throws IllegalArgumentException if there is none, or one is empty
     */
    public static Sequences ofLengths(int... lengths) {
        return continuing(lengths, new int[lengths.length]);
    }

    /**
     * New tokens that continue sequences of which {@code past} tokens lie in a cache.
     *
     * @param lengths new tokens of each sequence, at least 1
     * @param past tokens before them
     */
    public static Sequences continuing(int[] lengths, int[] past) {
        if (lengths.length == 0 || lengths.length != past.length) {
            throw new IllegalArgumentException("sequences: " + lengths.length + " lengths and " + past.length + " past lengths, there must be equally many, at least one");
        }
        int[] offsets = new int[lengths.length + 1];
        for (int i = 0; i < lengths.length; i++) {
            if (lengths[i] < 1 || past[i] < 0) {
                throw new IllegalArgumentException("sequences: sequence " + i + " has length " + lengths[i] + " and " + past[i] + " tokens before it, it must have at least 1 and at least 0");
            }
            offsets[i + 1] = Math.addExact(offsets[i], lengths[i]);
        }
        return new Sequences(offsets, past.clone());
    }

    public int count() {
        return past.length;
    }

    /** All tokens. */
    public int rows() {
        return offsets[past.length];
    }

    /** First row of sequence {@code index}; {@code start(count())} is {@link #rows}. */
    public int start(int index) {
        return offsets[index];
    }

    public int length(int index) {
        return offsets[index + 1] - offsets[index];
    }

    /** Tokens of sequence {@code index} that lie in a cache, before its first row. */
    public int past(int index) {
        return past[index];
    }

    /** Tokens of the longest sequence, those in a cache included. */
    public int maxLength() {
        int max = 0;
        for (int i = 0; i < past.length; i++) {
            max = Math.max(max, past[i] + length(i));
        }
        return max;
    }

    /** The position of each row in its sequence, from 0. */
    public int[] positions() {
        int[] positions = new int[rows()];
        for (int i = 0; i < past.length; i++) {
            for (int row = start(i); row < start(i + 1); row++) {
                positions[row] = past[i] + row - start(i);
            }
        }
        return positions;
    }

    @Override
    public String toString() {
        return count() + " sequences, " + rows() + " tokens";
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Sequences that && Arrays.equals(offsets, that.offsets) && Arrays.equals(past, that.past);
    }

    @Override
    public int hashCode() {
        return 31 * Arrays.hashCode(offsets) + Arrays.hashCode(past);
    }
}
