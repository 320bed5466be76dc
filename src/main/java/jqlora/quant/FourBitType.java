package jqlora.quant;

/**
 * The two 4-bit codes of bitsandbytes. Values and thresholds are those of its CUDA kernels; a value exactly on a threshold
 * takes the smaller code (NF4) or the smaller magnitude (FP4).
 *
 * @see <a href="https://arxiv.org/abs/2305.14314">QLoRA, section 3 and appendix E (NF4)</a>
 * @see <a href="https://github.com/bitsandbytes-foundation/bitsandbytes/blob/95f9af30/csrc/kernels.cu">bitsandbytes kernels.cu:15-153</a>
 */
public enum FourBitType {
    /** 4-bit NormalFloat: 16 ascending values, the quantiles of a normal distribution scaled to [-1, 1]. */
    NF4(new float[] {
            -1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f,
            -0.18477343022823334f, -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f,
            0.24611230194568634f, 0.33791524171829224f, 0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f}),

    /** 4-bit float of one sign, two exponent and one mantissa bit, scaled to [-1, 1]; code 8 is minus zero. */
    FP4(new float[] {
            0.0f, 0.005208333333f, 0.66666667f, 1.0f, 0.33333333f, 0.5f, 0.16666667f, 0.25f,
            -0.0f, -0.005208333333f, -0.66666667f, -1.0f, -0.33333333f, -0.5f, -0.16666667f, -0.25f});

    /** FP4 magnitudes in ascending order. The first and the sixth are rounded literals of kernels.cu, not exact midpoints. */
    private static final float[] FP4_THRESHOLDS = {0.00260417f, 0.0859375f, 0.20833333f, 0.29166667f, 0.4166667f, 0.583333f, 0.8333333f};
    private static final int[] FP4_CODE_OF_RANK = {0, 1, 6, 7, 4, 5, 2, 3};

    final float[] values;
    private final float[] thresholds;
    private final int[] codeOfRank;

    FourBitType(float[] values) {
        this.values = values;
        this.thresholds = new float[15];
        this.codeOfRank = new int[16];
        for (int i = 0; i < 15; i++) {
            thresholds[i] = (float) ((values[i] + (double) values[i + 1]) / 2);
        }
        for (int i = 0; i < 16; i++) {
            codeOfRank[i] = i;
        }
    }

    /** The value of {@code code}, 0 ... 15, before it is multiplied by the block's absmax. */
    public float value(int code) {
        return values[code];
    }

    /** The 16 values, index = code; a copy. */
    public float[] codebook() {
        return values.clone();
    }

    /** The 16 codes in the order of their values; minus zero comes before zero. */
    public int[] codesInOrder() {
        return java.util.stream.IntStream.range(0, 16).boxed().sorted((a, b) -> Float.compare(values[a], values[b])).mapToInt(code -> code).toArray();
    }

    /**
     * The table that bitsandbytes stores as {@code quant_map}; as {@link #codebook}, but with plus zero at FP4's code 8, which its
     * kernels nevertheless decode to minus zero.
     */
    public float[] storedMap() {
        float[] map = values.clone();
        if (this == FP4) {
            map[8] = 0f;
        }
        return map;
    }

    /**
     * The thresholds that {@link #encode} compares with, ascending: 15 of the value for NF4, 7 of the magnitude for FP4.
     */
    public float[] thresholds() {
        return this == NF4 ? thresholds.clone() : FP4_THRESHOLDS.clone();
    }

    /** The code of a value (NF4) or magnitude (FP4) that exceeds {@code rank} thresholds. */
    public int codeOfRank(int rank) {
        return this == NF4 ? codeOfRank[rank] : FP4_CODE_OF_RANK[rank];
    }

    /** The code of {@code scaled}, a weight divided by its block's absmax. NaN has code 0. */
    public int encode(float scaled) {
        float compared = this == NF4 ? scaled : Math.abs(scaled);
        int rank = 0;
        for (float threshold : this == NF4 ? thresholds : FP4_THRESHOLDS) {
            if (compared > threshold) {
                rank++;
            }
        }
        // products below the normal range are flushed to zero on the GPU, so they are not negative there
        int sign = this == FP4 && scaled <= -Float.MIN_NORMAL ? 8 : 0;
        return sign + codeOfRank(rank);
    }

    /** The name in {@code config.json} and in the quant state: {@code nf4} or {@code fp4}. */
    public String id() {
        return this == NF4 ? "nf4" : "fp4";
    }

    /** @throws IllegalArgumentException if {@code id} is neither {@code nf4} nor {@code fp4} */
    public static FourBitType ofId(String id) {
        return switch (id) {
            case "nf4" -> NF4;
            case "fp4" -> FP4;
            default -> throw new IllegalArgumentException("quant_type \"" + id + "\" is not known; it must be \"nf4\" or \"fp4\"");
        };
    }
}
