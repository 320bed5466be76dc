package jqlora.quant;

import java.util.Arrays;

/**
 * The 8-bit dynamic code: 256 values whose exponent takes as many bits as it needs and whose fraction takes the rest.
 *
 * @see <a href="https://arxiv.org/abs/2110.02861">8-bit optimizers via block-wise quantization, section 1.3</a>
 * @see <a href="https://github.com/bitsandbytes-foundation/bitsandbytes/blob/95f9af30/bitsandbytes/functional.py">bitsandbytes functional.py:296-348, kernels.cu:160-219 (dQuantize)</a>
 */
public final class DynamicMap {
    private static final int EXPONENTS = 7;
    private static final DynamicMap SIGNED = create(true), UNSIGNED = create(false);

    private final float[] values;
    /** At {@code i} the least number whose code is above {@code i}; null if the values do not ascend. */
    private final float[] bounds;

    private DynamicMap(float[] values) {
        this.values = values;
        this.bounds = bounds();
    }

    private float[] bounds() {
        float[] found = new float[values.length - 1];
        for (int i = 0; i < found.length; i++) {
            if (!(values[i] < values[i + 1])) {
                return null;
            }
            float half = (values[i] + values[i + 1]) * 0.5f;
            found[i] = search(half) > i ? half : Math.nextUp(half);
        }
        return found;
    }

    /** Values from -0.993 to 1: absmax values under double quantization, the first moment of an 8-bit optimizer. */
    public static DynamicMap signed() {
        return SIGNED;
    }

    /** Values from 0 to 1: the second moment of an 8-bit optimizer. */
    public static DynamicMap unsigned() {
        return UNSIGNED;
    }

    /**
     * A map as found in a file.
     *
     * @throws IllegalArgumentException if there are not 256 values
     */
    public static DynamicMap of(float[] values) {
        if (values.length != 256) {
            throw new IllegalArgumentException("8-bit map has " + values.length + " values, it must have 256");
        }
        return new DynamicMap(values.clone());
    }

    private static DynamicMap create(boolean signed) {
        float[] values = new float[256];
        int filled = 0;
        for (int i = 0; i < EXPONENTS; i++) {
            int points = (signed ? 1 << i : 1 << i + 1) + 1;
            float scale = (float) Math.pow(10, i - (EXPONENTS - 1));      // PyTorch rounds the scalar before it multiplies
            float[] boundaries = linspace(0.1f, 1f, points);
            for (int j = 0; j + 1 < points; j++) {
                float mean = (boundaries[j] + boundaries[j + 1]) / 2f;
                float value = scale * mean;
                values[filled++] = value;
                if (signed) {
                    values[filled++] = -value;
                }
            }
        }
        values[filled++] = 0f;
        values[filled++] = 1f;
        Arrays.sort(values);
        return new DynamicMap(values);
    }

    /** PyTorch's float32 linspace: from the nearer end, so that both ends are exact. */
    private static float[] linspace(float from, float to, int points) {
        float step = (to - from) / (points - 1);
        float[] line = new float[points];
        for (int i = 0; i < points; i++) {
            line[i] = i < points / 2 ? Math.fma(step, i, from) : Math.fma(-step, points - 1 - i, to);
        }
        return line;
    }

    /** The value of {@code code}, 0 ... 255. */
    public float value(int code) {
        return values[code];
    }

    /** A copy of the 256 values, ascending. */
    public float[] values() {
        return values.clone();
    }

    /** The code nearest to {@code x}, in [-1, 1]; halfway between two values it stays on the pivot of bitsandbytes' binary search. */
    public int encode(float x) {
        if (bounds == null) {
            return search(x);
        }
        int code = 0;
        for (int step = 128; step > 0; step >>= 1) {
            code += x >= bounds[code + step - 1] ? step : 0;      // no branch to guess wrong
        }
        return code;
    }

    /** bitsandbytes' search. */
    int search(float x) {
        int pivot = 127, upperPivot = 255, lowerPivot = 0;
        float lower = values[0], upper = values[255];
        for (int step = 64; step > 0; step >>= 1) {
            if (x > values[pivot]) {
                lowerPivot = pivot;
                lower = values[pivot];
                pivot += step;
            } else {
                upperPivot = pivot;
                upper = values[pivot];
                pivot -= step;
            }
        }
        float value = values[pivot];
        if (x > value) {
            return x > (upper + value) * 0.5f ? upperPivot : pivot;
        }
        return x < (lower + value) * 0.5f ? lowerPivot : pivot;
    }
}
