package jqlora.device;

/** The numbers that a GPU's products with frozen 4-bit weights read; adapters, attention and the output layer are in bfloat16 either way. */
public enum Precision {
    /** bfloat16, as the weights are decoded to. */
    BF16,
    /**
     * 8-bit floats (e4m3), with a scale for each row. Faster, and each product is off by about a twenty-fifth of its length; needs compute
     * capability 8.9 or more.
     *
     * @see <a href="https://arxiv.org/abs/2209.05433">FP8 formats for deep learning</a>
     */
    FP8
}
