package jqlora.ops;

/**
 * The dropout of adapters in one micro-batch.
 *
 * @param key with a layer's module number and an element's index decides what is zeroed, see {@link DropoutMask}; 0 for no dropout
 */
public record Dropout(long key) {
    /** Outside training. */
    public static final Dropout NONE = new Dropout(0);

    /** Whether it zeroes anything that {@code lora} reads; null for no adapter. */
    public boolean reaches(LoraFactors lora) {
        return key != 0 && lora != null && lora.dropout() > 0;
    }
}
