package jqlora.ops;

import jqlora.tensor.Philox;

/**
 * Which elements of an adapter's input dropout keeps: a function of key, module and element index alone, so that a recomputed
 * activation, another backend and a resumed run see the same mask. Element i takes the 16 bits at place i mod 8 of
 * {@code Philox(key, i / 8, module)} and is dropped where they are below dropout 65536, rounded to the nearest integer.
 *
 * @param key of the micro-batch
 * @param module {@link LoraFactors#module}
 */
public record DropoutMask(long key, int module, float dropout) {
    /** Elements that one block of random bits decides. */
    public static final int GROUP = 8;

    /** Factor of the elements that are kept. */
    public float scale() {
        return 1f / (1f - dropout);
    }

    /** A draw of 16 bits below this drops its element. */
    public int threshold() {
        return Math.round(dropout * 65536f);
    }

    /**
     * Decides elements 8 group ... 8 group + 7.
     *
     * @param bits [4], a work array
     * @param kept [8], overwritten
     */
    public void kept(long group, int[] bits, boolean[] kept) {
        int threshold = threshold();
        Philox.block(key, group, module, bits);
        for (int i = 0; i < GROUP; i++) {
            int draw = bits[i / 2] >>> 16 * (i % 2) & 0xffff;
            kept[i] = draw >= threshold;
        }
    }
}
