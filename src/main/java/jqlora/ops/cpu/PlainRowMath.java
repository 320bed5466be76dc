package jqlora.ops.cpu;

import static jqlora.tensor.TensorView.FLOAT;

import java.lang.foreign.MemorySegment;

/** Plain loops, for a JVM without the Vector API's module. */
final class PlainRowMath implements RowMath {
    private static float get(MemorySegment x, long index) {
        return x.get(FLOAT, index * 4);
    }

    private static void set(MemorySegment x, long index, float value) {
        x.set(FLOAT, index * 4, value);
    }

    @Override
    public float dot(MemorySegment x, long xAt, MemorySegment y, long yAt, int count) {
        double sum = 0;
        for (int i = 0; i < count; i++) {
            sum += (double) get(x, xAt + i) * get(y, yAt + i);
        }
        return (float) sum;
    }

    @Override
    public float sum(MemorySegment x, long xAt, int count) {
        double sum = 0;
        for (int i = 0; i < count; i++) {
            sum += get(x, xAt + i);
        }
        return (float) sum;
    }

    @Override
    public void add(MemorySegment x, long xAt, MemorySegment y, long yAt, int count) {
        for (int i = 0; i < count; i++) {
            set(y, yAt + i, get(y, yAt + i) + get(x, xAt + i));
        }
    }

    @Override
    public void scale(MemorySegment x, long xAt, float factor, MemorySegment weight, MemorySegment out, long outAt, int count) {
        for (int i = 0; i < count; i++) {
            float scaled = get(x, xAt + i) * factor;
            set(out, outAt + i, weight == null ? scaled : scaled * get(weight, i));
        }
    }

    @Override
    public void normBackward(MemorySegment dX, MemorySegment dY, MemorySegment x, long at, MemorySegment weight, float rstd, float mean, int count) {
        for (int i = 0; i < count; i++) {
            float inner = get(dY, at + i) * get(weight, i) - get(x, at + i) * (rstd * mean);
            set(dX, at + i, get(dX, at + i) + rstd * inner);
        }
    }

    @Override
    public void normalize(MemorySegment x, long xAt, float mean, float rstd, MemorySegment weight, MemorySegment bias, MemorySegment out, long outAt, int count) {
        for (int i = 0; i < count; i++) {
            float normalized = (get(x, xAt + i) - mean) * rstd;
            float weighted = weight == null ? normalized : normalized * get(weight, i);
            set(out, outAt + i, bias == null ? weighted : weighted + get(bias, i));
        }
    }

    @Override
    public void layerNormBackward(MemorySegment dX, long at, MemorySegment weighted, MemorySegment normalized, float rstd, float mean, float product, int count) {
        for (int i = 0; i < count; i++) {
            float inner = get(weighted, i) - mean - get(normalized, i) * product;
            set(dX, at + i, get(dX, at + i) + rstd * inner);
        }
    }

    @Override
    public float softmax(MemorySegment x, long at, int count, float scale) {
        float max = Float.NEGATIVE_INFINITY;
        for (int i = 0; i < count; i++) {
            max = Math.max(max, get(x, at + i) * scale);
        }
        double sum = 0;
        for (int i = 0; i < count; i++) {
            float e = RowMath.exp(get(x, at + i) * scale - max);
            set(x, at + i, e);
            sum += e;
        }
        float factor = (float) (1 / sum);
        for (int i = 0; i < count; i++) {
            set(x, at + i, get(x, at + i) * factor);
        }
        return (float) (max + Math.log(sum));
    }

    @Override
    public void softmaxAgain(MemorySegment x, long at, int count, float scale, float logSum) {
        for (int i = 0; i < count; i++) {
            set(x, at + i, RowMath.exp(get(x, at + i) * scale - logSum));
        }
    }

    @Override
    public void softmaxBackward(MemorySegment dP, MemorySegment p, long at, int count, float delta, float scale) {
        for (int i = 0; i < count; i++) {
            set(dP, at + i, get(p, at + i) * (get(dP, at + i) - delta) * scale);
        }
    }

    @Override
    public void silu(MemorySegment gate, long gateAt, long upAt, MemorySegment out, long outAt, int count) {
        for (int i = 0; i < count; i++) {
            float g = get(gate, gateAt + i);
            set(out, outAt + i, g / (1f + RowMath.exp(-g)) * get(gate, upAt + i));
        }
    }

    @Override
    public void siluBackward(MemorySegment dGateUp, MemorySegment gateUp, long gateAt, long upAt, MemorySegment dY, long dYAt, int count) {
        for (int i = 0; i < count; i++) {
            float g = get(gateUp, gateAt + i), u = get(gateUp, upAt + i), d = get(dY, dYAt + i);
            float sigmoid = 1f / (1f + RowMath.exp(-g));
            set(dGateUp, upAt + i, d * (g * sigmoid));
            set(dGateUp, gateAt + i, d * u * (sigmoid * Math.fma(g, 1f - sigmoid, 1f)));
        }
    }

    @Override
    public void gelu(MemorySegment gate, long gateAt, long upAt, MemorySegment out, long outAt, int count) {
        for (int i = 0; i < count; i++) {
            float g = get(gate, gateAt + i);
            set(out, outAt + i, g * RowMath.normalCdf(g, RowMath.exp(g * g * -0.5f)) * get(gate, upAt + i));
        }
    }

    @Override
    public void geluBackward(MemorySegment dGateUp, MemorySegment gateUp, long gateAt, long upAt, MemorySegment dY, long dYAt, int count) {
        for (int i = 0; i < count; i++) {
            float g = get(gateUp, gateAt + i), u = get(gateUp, upAt + i), d = get(dY, dYAt + i);
            float e = RowMath.exp(g * g * -0.5f), phi = RowMath.normalCdf(g, e);
            set(dGateUp, upAt + i, d * (g * phi));
            set(dGateUp, gateAt + i, d * u * Math.fma(g * DENSITY, e, phi));
        }
    }

    @Override
    public void geluTanh(MemorySegment gate, long gateAt, long upAt, MemorySegment out, long outAt, int count) {
        for (int i = 0; i < count; i++) {
            float g = get(gate, gateAt + i);
            set(out, outAt + i, g / (1f + RowMath.exp(-(g * Math.fma(g * g, TANH_3, TANH_1)))) * get(gate, upAt + i));
        }
    }

    @Override
    public void geluTanhBackward(MemorySegment dGateUp, MemorySegment gateUp, long gateAt, long upAt, MemorySegment dY, long dYAt, int count) {
        for (int i = 0; i < count; i++) {
            float g = get(gateUp, gateAt + i), u = get(gateUp, upAt + i), d = get(dY, dYAt + i), square = g * g;
            float e = RowMath.exp(-(g * Math.fma(square, TANH_3, TANH_1))), sigmoid = 1f / (1f + e), slope = g * Math.fma(square, 3 * TANH_3, TANH_1);
            set(dGateUp, upAt + i, d * (g * sigmoid));
            set(dGateUp, gateAt + i, d * u * (sigmoid * Math.fma(slope, e * sigmoid, 1f)));       // 1 - sigmoid, which the slope makes large, without its loss
        }
    }

    @Override
    public void rotate(MemorySegment x, long firstAt, long secondAt, MemorySegment cos, MemorySegment sin, long angleAt, int count, float direction) {
        for (int i = 0; i < count; i++) {
            float a = get(x, firstAt + i), b = get(x, secondAt + i), c = get(cos, angleAt + i), s = get(sin, angleAt + i) * direction;
            set(x, firstAt + i, a * c - b * s);
            set(x, secondAt + i, b * c + a * s);
        }
    }

    @Override
    public void adamW(AdamWArguments step, MemorySegment parameter, MemorySegment gradient, MemorySegment first, MemorySegment second, long at, int count) {
        for (long i = at; i < at + count; i++) {
            float g = get(gradient, i) * step.gradScale();
            float m = get(first, i), v = get(second, i);
            m = m + step.firstRate() * (g - m);
            v = v * step.beta2() + step.secondRate() * (g * g);
            float denominator = (float) Math.sqrt(v) * step.denominatorScale() + step.eps();
            set(first, i, m);
            set(second, i, v);
            set(parameter, i, get(parameter, i) * step.decay() - step.stepSize() * (m / denominator));
        }
    }
}
