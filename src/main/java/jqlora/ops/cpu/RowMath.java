package jqlora.ops.cpu;

import java.lang.foreign.MemorySegment;
import jqlora.quant.FourBitCodec;

/**
 * Elementwise and row-wise arithmetic on F32 memory. Offsets and counts are in elements. Every method gives the same bits for the same
 * input, call after call, compiled or not: no library exponential, no reduction in an order that the compiler may choose.
 */
interface RowMath {
    /** On the Vector API where its module is there, else in plain loops. */
    static RowMath fastest() {
        return FourBitCodec.vectorModulePresent() ? new VectorRowMath() : new PlainRowMath();
    }

    /** The sum of x[i] y[i]. */
    float dot(MemorySegment x, long xAt, MemorySegment y, long yAt, int count);

    /** y[i] += x[i] */
    void add(MemorySegment x, long xAt, MemorySegment y, long yAt, int count);

    /** out[i] = x[i] factor weight[i]; weight may be null. */
    void scale(MemorySegment x, long xAt, float factor, MemorySegment weight, MemorySegment out, long outAt, int count);

    /** dX[i] += rstd (dY[i] weight[i] - x[i] rstd mean), the input gradient of an RMS normalisation. */
    void normBackward(MemorySegment dX, MemorySegment dY, MemorySegment x, long at, MemorySegment weight, float rstd, float mean, int count);

    /** x[i] = exp(scale x[i] - max) / sum; returns the logarithm of the sum of exp(scale x[i]). */
    float softmax(MemorySegment x, long at, int count, float scale);

    /** x[i] = exp(scale x[i] - logSum): a softmax again, from its denominator. */
    void softmaxAgain(MemorySegment x, long at, int count, float scale, float logSum);

    /** dP[i] = p[i] (dP[i] - delta) scale: through softmax and score scale. */
    void softmaxBackward(MemorySegment dP, MemorySegment p, long at, int count, float delta, float scale);

    /** out[i] = silu(gate[i]) up[i] */
    void silu(MemorySegment gate, long gateAt, long upAt, MemorySegment out, long outAt, int count);

    /** dGate and dUp, at the places in {@code dGateUp} that gate and up have in {@code gateUp}. */
    void siluBackward(MemorySegment dGateUp, MemorySegment gateUp, long gateAt, long upAt, MemorySegment dY, long dYAt, int count);

    /** The rotation (x, y) -> (x cos - y sin, y cos + x sin) of count pairs; {@code direction} -1 rotates back. */
    void rotate(MemorySegment x, long firstAt, long secondAt, MemorySegment cos, MemorySegment sin, long angleAt, int count, float direction);

    /** A step of AdamW on count elements, in PyTorch's order. */
    void adamW(AdamWArguments step, MemorySegment parameter, MemorySegment gradient, MemorySegment first, MemorySegment second, long at, int count);

    /**
     * The factors of one AdamW step, each rounded to float32 once: 1 - 0.999f would be 1.3e-5 off 0.001.
     *
     * @param decay 1 - learningRate weightDecay
     * @param gradScale of clipping
     * @param firstRate 1 - beta1
     * @param secondRate 1 - beta2
     * @param denominatorScale 1 / sqrt(1 - beta2^step)
     * @param stepSize learningRate / (1 - beta1^step)
     */
    record AdamWArguments(float decay, float gradScale, float firstRate, float beta2, float secondRate, float eps, float denominatorScale, float stepSize) { }

    // ---- the exponential that both implementations share

    float EXP_LOWEST = -87.3f, EXP_HIGHEST = 88.7f;
    float LOG2_E = 1.44269504f, LN2_HIGH = 0.693359375f, LN2_LOW = -2.12194440e-4f;
    /** 1.5 2^23: adding it rounds to an integer, which then stands in the low bits. */
    float ROUNDER = 12582912f;
    float C2 = 5.0000001201e-1f, C3 = 1.6666665459e-1f, C4 = 4.1665795894e-2f, C5 = 8.3334519073e-3f, C6 = 1.3981999507e-3f, C7 = 1.9875691500e-4f;

    /**
     * exp(x) within 2 units in the last place for x from -87.3 to 88.7; below it 0, above it exp(88.7). NaN stays NaN.
     *
     * @see <a href="https://www.netlib.org/cephes/">Cephes, expf: range reduction and polynomial</a>
     */
    static float exp(float x) {
        if (!(x >= EXP_LOWEST)) {
            return Float.isNaN(x) ? x : 0f;                       // a NaN's low bits would be taken for an exponent
        }
        float clamped = x > EXP_HIGHEST ? EXP_HIGHEST : x;
        float shifted = Math.fma(clamped, LOG2_E, ROUNDER);
        float n = shifted - ROUNDER;
        float r = Math.fma(n, -LN2_LOW, Math.fma(n, -LN2_HIGH, clamped));
        float p = Math.fma(Math.fma(Math.fma(Math.fma(Math.fma(C7, r, C6), r, C5), r, C4), r, C3), r, C2);
        float mantissa = Math.fma(p, r * r, r) + 1f;
        int exponent = Float.floatToRawIntBits(shifted) - Float.floatToRawIntBits(ROUNDER);
        return Float.intBitsToFloat(Float.floatToRawIntBits(mantissa) + (exponent << 23));
    }
}
