package jqlora.ops.cpu;

import static jqlora.tensor.TensorView.FLOAT;

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

    /** The sum of x[i]. */
    float sum(MemorySegment x, long xAt, int count);

    /** y[i] += x[i] */
    void add(MemorySegment x, long xAt, MemorySegment y, long yAt, int count);

    /** out[i] = x[i] factor weight[i]; weight may be null. */
    void scale(MemorySegment x, long xAt, float factor, MemorySegment weight, MemorySegment out, long outAt, int count);

    /** dX[i] += rstd (dY[i] weight[i] - x[i] rstd mean), the input gradient of an RMS normalisation. */
    void normBackward(MemorySegment dX, MemorySegment dY, MemorySegment x, long at, MemorySegment weight, float rstd, float mean, int count);

    /** out[i] = (x[i] - mean) rstd weight[i] + bias[i]; weight may be null, and so may bias. */
    void normalize(MemorySegment x, long xAt, float mean, float rstd, MemorySegment weight, MemorySegment bias, MemorySegment out, long outAt, int count);

    /**
     * dX[i] += rstd (weighted[i] - mean - normalized[i] product), the input gradient of a layer normalisation.
     *
     * @param weighted dY[i] weight[i], from 0
     * @param normalized (x[i] - mean(x)) rstd, from 0
     * @param mean of {@code weighted}
     * @param product mean of {@code weighted[i] normalized[i]}
     */
    void layerNormBackward(MemorySegment dX, long at, MemorySegment weighted, MemorySegment normalized, float rstd, float mean, float product, int count);

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

    /** out[i] = gelu(gate[i]) up[i] */
    void gelu(MemorySegment gate, long gateAt, long upAt, MemorySegment out, long outAt, int count);

    /** As {@link #siluBackward}. */
    void geluBackward(MemorySegment dGateUp, MemorySegment gateUp, long gateAt, long upAt, MemorySegment dY, long dYAt, int count);

    /** out[i] = gelu(gate[i]) up[i] by its approximation with tanh. */
    void geluTanh(MemorySegment gate, long gateAt, long upAt, MemorySegment out, long outAt, int count);

    /** As {@link #siluBackward}. */
    void geluTanhBackward(MemorySegment dGateUp, MemorySegment gateUp, long gateAt, long upAt, MemorySegment dY, long dYAt, int count);

    /** out[i] = max(gate[i], 0) up[i] */
    default void relu(MemorySegment gate, long gateAt, long upAt, MemorySegment out, long outAt, int count) {
        for (long i = 0; i < count; i++) {
            out.set(FLOAT, (outAt + i) * 4, Math.max(gate.get(FLOAT, (gateAt + i) * 4), 0f) * gate.get(FLOAT, (upAt + i) * 4));
        }
    }

    /** As {@link #siluBackward}; the slope at 0 is 0, as in PyTorch. */
    default void reluBackward(MemorySegment dGateUp, MemorySegment gateUp, long gateAt, long upAt, MemorySegment dY, long dYAt, int count) {
        for (long i = 0; i < count; i++) {
            float gate = gateUp.get(FLOAT, (gateAt + i) * 4), up = gateUp.get(FLOAT, (upAt + i) * 4), d = dY.get(FLOAT, (dYAt + i) * 4);
            dGateUp.set(FLOAT, (upAt + i) * 4, d * Math.max(gate, 0f));
            dGateUp.set(FLOAT, (gateAt + i) * 4, gate > 0 ? d * up : 0f);
        }
    }

    /** out[i] = max(gate[i], 0)^2 up[i] */
    default void reluSquared(MemorySegment gate, long gateAt, long upAt, MemorySegment out, long outAt, int count) {
        for (long i = 0; i < count; i++) {
            float positive = Math.max(gate.get(FLOAT, (gateAt + i) * 4), 0f);
            out.set(FLOAT, (outAt + i) * 4, positive * positive * gate.get(FLOAT, (upAt + i) * 4));
        }
    }

    /** As {@link #siluBackward}. */
    default void reluSquaredBackward(MemorySegment dGateUp, MemorySegment gateUp, long gateAt, long upAt, MemorySegment dY, long dYAt, int count) {
        for (long i = 0; i < count; i++) {
            float positive = Math.max(gateUp.get(FLOAT, (gateAt + i) * 4), 0f), up = gateUp.get(FLOAT, (upAt + i) * 4), d = dY.get(FLOAT, (dYAt + i) * 4);
            dGateUp.set(FLOAT, (upAt + i) * 4, d * (positive * positive));
            dGateUp.set(FLOAT, (gateAt + i) * 4, d * up * (2f * positive));
        }
    }

    /** The rotation of {@code count} pairs of neighbours, from {@code at} on; see {@link #rotate}. */
    static void rotateNeighbours(MemorySegment x, long at, MemorySegment cos, MemorySegment sin, long angleAt, int count, float direction) {
        for (long i = 0; i < count; i++) {
            float a = x.get(FLOAT, (at + 2 * i) * 4), b = x.get(FLOAT, (at + 2 * i + 1) * 4);
            float c = cos.get(FLOAT, (angleAt + i) * 4), s = sin.get(FLOAT, (angleAt + i) * 4) * direction;
            x.set(FLOAT, (at + 2 * i) * 4, a * c - b * s);
            x.set(FLOAT, (at + 2 * i + 1) * 4, b * c + a * s);
        }
    }

    /**
     * {@code cap tanh(factor x[i] / cap)} in place.
     *
     * @param slopes overwritten from 0 with the derivatives by x[i]; null where nobody wants them
     */
    static void softCap(MemorySegment x, long at, int count, float factor, float cap, MemorySegment slopes) {
        for (long i = 0; i < count; i++) {
            float tanh = tanh(x.get(FLOAT, (at + i) * 4) * factor / cap);
            x.set(FLOAT, (at + i) * 4, cap * tanh);
            if (slopes != null) {
                slopes.set(FLOAT, i * 4, factor * (1f - tanh * tanh));
            }
        }
    }

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

    /** The hyperbolic tangent within 4 units in the last place: its series near 0, where the exponential would cancel. */
    static float tanh(float x) {
        float square = x * x;
        if (square < 0.0625f) {
            return x * Math.fma(Math.fma(Math.fma(Math.fma(62f / 2835, square, -17f / 315), square, 2f / 15), square, -1f / 3), square, 1f);
        }
        float smaller = 2f / (exp(2f * Math.abs(x)) + 1f);
        return Math.copySign(1f - smaller, x);
    }

    // ---- the normal distribution that both implementations share

    /** 1 / sqrt(2 pi) */
    float DENSITY = 0.3989422804f;
    float TAIL = 0.3125f;
    float T0 = 1.24663785e-1f, T1 = 1.24781288e-1f, T2 = 1.11624978e-1f, T3 = 9.12976265e-2f, T4 = 5.20541370e-2f, T5 = 3.92580451e-3f, T6 = 6.65645897e-2f,
            T7 = -1.45336300e-1f, T8 = 8.90056267e-2f, T9 = -1.85815506e-2f;

    /**
     * The normal distribution's cumulative function: the smaller side is {@code exp(-x^2 / 2) t T(t)} with {@code t = 1 / (1 + TAIL |x|)}. The polynomial
     * T is fitted to that side for |x| up to 13.5, beyond which it is 0: the fit is within 1e-8 of it, float32 within 4 units in the last place of
     * what {@code e} allows.
     *
     * @param e exp(-x^2 / 2)
     */
    static float normalCdf(float x, float e) {
        float t = 1f / Math.fma(Math.abs(x), TAIL, 1f);
        float p = Math.fma(Math.fma(Math.fma(Math.fma(Math.fma(T9, t, T8), t, T7), t, T6), t, T5), t, T4);
        p = Math.fma(Math.fma(Math.fma(Math.fma(p, t, T3), t, T2), t, T1), t, T0);
        float smaller = p * t * e;
        return x > 0 ? 1f - smaller : smaller;
    }

    /** 2 sqrt(2 / pi), and that times 0.044715: GELU's approximation is {@code x sigmoid(x (TANH_1 + TANH_3 x^2))}. */
    float TANH_1 = 1.5957691216f, TANH_3 = 0.0713548163f;
}
