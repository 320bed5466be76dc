package jqlora.lora;

/**
 * Where an adapter's update goes when it is merged, and what the result is stored as. On a dense base only {@link #ONTO_BASE} applies.
 *
 * <p>A merge into 4 bits is not what it looks like: decoded weights lie exactly on code values, so an update smaller than half a
 * step rounds back to the same code, and most of what training gained is gone. The original weights are spread between the codes, and
 * random rounding spreads them too; either keeps the gain.
 */
public enum MergeRoute {
    /** The base as it computes, decoded if it is in 4 bits, plus the update; stored as numbers. */
    ONTO_BASE(false, false),
    /** The original checkpoint's numbers plus the update; stored as numbers. */
    ONTO_ORIGINAL(false, true),
    /** The original checkpoint's numbers plus the update, quantized again. */
    ORIGINAL_TO_4BIT(true, true),
    /** The decoded base plus the update, quantized again with seeded stochastic rounding. */
    STOCHASTIC_4BIT(true, false),
    /** The decoded base plus the update, quantized again to the nearest codes: PEFT's rule, bit for bit, which keeps little. */
    PEFT_4BIT(true, false);

    private final boolean toFourBit;
    private final boolean needsOriginal;

    MergeRoute(boolean toFourBit, boolean needsOriginal) {
        this.toFourBit = toFourBit;
        this.needsOriginal = needsOriginal;
    }

    /** Whether the merged weights are in 4 bits. */
    public boolean isToFourBit() {
        return toFourBit;
    }

    /** Whether the original checkpoint must be at hand. */
    public boolean needsOriginal() {
        return needsOriginal;
    }
}
