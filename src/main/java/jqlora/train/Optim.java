package jqlora.train;

import java.util.Arrays;
import java.util.List;

/**
 * How AdamW keeps its moments, and where. The names are those of transformers' and qlora.py's {@code optim}. Paged moments lie in the host's memory and pass
 * through the GPU's in a step; without that they lie in the GPU's, unless the training only fits with them paged. Where a backend computes in the host's
 * memory, both are the same. The place changes no bit.
 */
public enum Optim {
    /** In float32, in PyTorch's order: decay, moments, update. */
    ADAMW_32BIT("adamw_torch", "adamw_torch_fused"),
    /**
     * In blocks of 256 bytes, as bitsandbytes; in float32 those of parameters with fewer than 4096 elements, and those of embeddings.
     *
     * @see <a href="https://github.com/bitsandbytes-foundation/bitsandbytes/blob/95f9af30/bitsandbytes/optim/optimizer.py">bitsandbytes optimizer.py:414, 502</a>
     */
    ADAMW_8BIT("adamw_bnb_8bit", "adamw_8bit"),
    /** As {@link #ADAMW_32BIT}, in the host's memory. bitsandbytes pages by the driver's managed memory, and only tensors of 100 000 numbers or more. */
    PAGED_ADAMW_32BIT("paged_adamw", "paged_adamw_32bit"),
    /** As {@link #ADAMW_8BIT}, in the host's memory. */
    PAGED_ADAMW_8BIT("paged_adamw_8bit");

    private static final long FEWEST_IN_8_BITS = 4096;

    private final List<String> names;

    Optim(String... names) {
        this.names = List.of(names);
    }

    /** @throws IllegalArgumentException if {@code name} is none of transformers' names of AdamW */
    public static Optim ofName(String name) {
        return Arrays.stream(values()).filter(optim -> optim.names.contains(name)).findFirst().orElseThrow(() -> new IllegalArgumentException(
                "optim is \"" + name + "\", it must be one of " + Arrays.stream(values()).flatMap(optim -> optim.names.stream()).toList()));
    }

    /** Whether the moments are to lie in the host's memory. */
    boolean isPaged() {
        return this == PAGED_ADAMW_32BIT || this == PAGED_ADAMW_8BIT;
    }

    /** The one with the same numbers that is not paged. */
    Optim unpaged() {
        return switch (this) {
            case ADAMW_32BIT, PAGED_ADAMW_32BIT -> ADAMW_32BIT;
            case ADAMW_8BIT, PAGED_ADAMW_8BIT -> ADAMW_8BIT;
        };
    }

    /** Whether the moments of a parameter are in 8 bits. */
    boolean isIn8Bits(String parameter, long elements) {
        return unpaged() == ADAMW_8BIT && elements >= FEWEST_IN_8_BITS && !parameter.endsWith("embed_tokens.weight");
    }
}
