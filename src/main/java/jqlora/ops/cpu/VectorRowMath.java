package jqlora.ops.cpu;

import static jqlora.tensor.TensorView.FLOAT;

import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/** The Vector API. Sums run lane by lane, then over the lanes from first to last; what does not fill a vector is done one by one. */
final class VectorRowMath implements RowMath {
    private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
    private static final int LANES = SPECIES.length();
    private static final ByteOrder ORDER = ByteOrder.LITTLE_ENDIAN;

    private final PlainRowMath plain = new PlainRowMath();

    private static FloatVector load(MemorySegment x, long index) {
        return FloatVector.fromMemorySegment(SPECIES, x, index * 4, ORDER);
    }

    private static void store(FloatVector value, MemorySegment x, long index) {
        value.intoMemorySegment(x, index * 4, ORDER);
    }

    private static float sum(FloatVector value) {
        float sum = 0;
        for (int lane = 0; lane < LANES; lane++) {
            sum += value.lane(lane);
        }
        return sum;
    }

    /** {@link RowMath#exp}, lane by lane, with the same bits. */
    private static FloatVector exp(FloatVector x) {
        FloatVector clamped = x.min(EXP_HIGHEST);
        FloatVector shifted = clamped.fma(FloatVector.broadcast(SPECIES, LOG2_E), FloatVector.broadcast(SPECIES, ROUNDER));
        FloatVector n = shifted.sub(ROUNDER);
        FloatVector r = n.fma(FloatVector.broadcast(SPECIES, -LN2_HIGH), clamped);
        r = n.fma(FloatVector.broadcast(SPECIES, -LN2_LOW), r);
        FloatVector p = FloatVector.broadcast(SPECIES, C7).fma(r, FloatVector.broadcast(SPECIES, C6));
        p = p.fma(r, FloatVector.broadcast(SPECIES, C5));
        p = p.fma(r, FloatVector.broadcast(SPECIES, C4));
        p = p.fma(r, FloatVector.broadcast(SPECIES, C3));
        p = p.fma(r, FloatVector.broadcast(SPECIES, C2));
        FloatVector mantissa = p.fma(r.mul(r), r).add(1f);
        IntVector exponent = shifted.reinterpretAsInts().sub(Float.floatToRawIntBits(ROUNDER)).lanewise(VectorOperators.LSHL, 23);
        FloatVector result = mantissa.reinterpretAsInts().add(exponent).reinterpretAsFloats();
        return result.blend(0f, x.compare(VectorOperators.LT, EXP_LOWEST)).blend(x, x.test(VectorOperators.IS_NAN));
    }

    /** {@link RowMath#normalCdf}, lane by lane, with the same bits. */
    private static FloatVector normalCdf(FloatVector x, FloatVector e) {
        FloatVector one = FloatVector.broadcast(SPECIES, 1f), t = one.div(x.abs().fma(FloatVector.broadcast(SPECIES, TAIL), one));
        FloatVector p = FloatVector.broadcast(SPECIES, T9).fma(t, FloatVector.broadcast(SPECIES, T8));
        p = p.fma(t, FloatVector.broadcast(SPECIES, T7));
        p = p.fma(t, FloatVector.broadcast(SPECIES, T6));
        p = p.fma(t, FloatVector.broadcast(SPECIES, T5));
        p = p.fma(t, FloatVector.broadcast(SPECIES, T4));
        p = p.fma(t, FloatVector.broadcast(SPECIES, T3));
        p = p.fma(t, FloatVector.broadcast(SPECIES, T2));
        p = p.fma(t, FloatVector.broadcast(SPECIES, T1));
        p = p.fma(t, FloatVector.broadcast(SPECIES, T0));
        FloatVector smaller = p.mul(t).mul(e);
        return smaller.blend(one.sub(smaller), x.compare(VectorOperators.GT, 0f));
    }

    /** exp(-2 u), u the tanh's argument in GELU's approximation. */
    private static FloatVector tanhExp(FloatVector g, FloatVector square) {
        return exp(g.mul(square.fma(FloatVector.broadcast(SPECIES, TANH_3), FloatVector.broadcast(SPECIES, TANH_1))).neg());
    }

    @Override
    public float dot(MemorySegment x, long xAt, MemorySegment y, long yAt, int count) {
        FloatVector even = FloatVector.zero(SPECIES), odd = even;
        int i = 0;
        for (; i + 2 * LANES <= count; i += 2 * LANES) {
            even = load(x, xAt + i).fma(load(y, yAt + i), even);
            odd = load(x, xAt + i + LANES).fma(load(y, yAt + i + LANES), odd);
        }
        float sum = sum(even.add(odd));
        for (; i < count; i++) {
            sum += x.get(FLOAT, (xAt + i) * 4) * y.get(FLOAT, (yAt + i) * 4);
        }
        return sum;
    }

    @Override
    public float sum(MemorySegment x, long xAt, int count) {
        FloatVector even = FloatVector.zero(SPECIES), odd = even;
        int i = 0;
        for (; i + 2 * LANES <= count; i += 2 * LANES) {
            even = even.add(load(x, xAt + i));
            odd = odd.add(load(x, xAt + i + LANES));
        }
        float sum = sum(even.add(odd));
        for (; i < count; i++) {
            sum += x.get(FLOAT, (xAt + i) * 4);
        }
        return sum;
    }

    @Override
    public void add(MemorySegment x, long xAt, MemorySegment y, long yAt, int count) {
        int i = 0;
        for (; i + LANES <= count; i += LANES) {
            store(load(y, yAt + i).add(load(x, xAt + i)), y, yAt + i);
        }
        plain.add(x, xAt + i, y, yAt + i, count - i);
    }

    @Override
    public void scale(MemorySegment x, long xAt, float factor, MemorySegment weight, MemorySegment out, long outAt, int count) {
        int i = 0;
        for (; i + LANES <= count; i += LANES) {
            FloatVector scaled = load(x, xAt + i).mul(factor);
            store(weight == null ? scaled : scaled.mul(load(weight, i)), out, outAt + i);
        }
        plain.scale(x, xAt + i, factor, weight == null ? null : weight.asSlice(4L * i), out, outAt + i, count - i);
    }

    @Override
    public void normBackward(MemorySegment dX, MemorySegment dY, MemorySegment x, long at, MemorySegment weight, float rstd, float mean, int count) {
        float factor = rstd * mean;
        int i = 0;
        for (; i + LANES <= count; i += LANES) {
            FloatVector inner = load(dY, at + i).mul(load(weight, i)).sub(load(x, at + i).mul(factor));
            store(load(dX, at + i).add(inner.mul(rstd)), dX, at + i);
        }
        plain.normBackward(dX, dY, x, at + i, weight.asSlice(4L * i), rstd, mean, count - i);
    }

    @Override
    public void normalize(MemorySegment x, long xAt, float mean, float rstd, MemorySegment weight, MemorySegment bias, MemorySegment out, long outAt, int count) {
        int i = 0;
        for (; i + LANES <= count; i += LANES) {
            FloatVector normalized = load(x, xAt + i).sub(mean).mul(rstd);
            FloatVector weighted = weight == null ? normalized : normalized.mul(load(weight, i));
            store(bias == null ? weighted : weighted.add(load(bias, i)), out, outAt + i);
        }
        plain.normalize(x, xAt + i, mean, rstd, weight == null ? null : weight.asSlice(4L * i), bias == null ? null : bias.asSlice(4L * i), out, outAt + i, count - i);
    }

    @Override
    public void layerNormBackward(MemorySegment dX, long at, MemorySegment weighted, MemorySegment normalized, float rstd, float mean, float product, int count) {
        int i = 0;
        for (; i + LANES <= count; i += LANES) {
            FloatVector inner = load(weighted, i).sub(mean).sub(load(normalized, i).mul(product));
            store(load(dX, at + i).add(inner.mul(rstd)), dX, at + i);
        }
        plain.layerNormBackward(dX, at + i, weighted.asSlice(4L * i), normalized.asSlice(4L * i), rstd, mean, product, count - i);
    }

    @Override
    public float softmax(MemorySegment x, long at, int count, float scale) {
        float max = Float.NEGATIVE_INFINITY;
        int whole = count / LANES * LANES;
        FloatVector largest = FloatVector.broadcast(SPECIES, max);
        for (int i = 0; i < whole; i += LANES) {
            largest = largest.max(load(x, at + i).mul(scale));
        }
        max = largest.reduceLanes(VectorOperators.MAX);
        for (int i = whole; i < count; i++) {
            max = Math.max(max, x.get(FLOAT, (at + i) * 4) * scale);
        }
        FloatVector sums = FloatVector.zero(SPECIES);
        for (int i = 0; i < whole; i += LANES) {
            FloatVector e = exp(load(x, at + i).mul(scale).sub(max));
            store(e, x, at + i);
            sums = sums.add(e);
        }
        double sum = sum(sums);
        for (int i = whole; i < count; i++) {
            float e = RowMath.exp(x.get(FLOAT, (at + i) * 4) * scale - max);
            x.set(FLOAT, (at + i) * 4, e);
            sum += e;
        }
        scale(x, at, (float) (1 / sum), null, x, at, count);
        return (float) (max + Math.log(sum));
    }

    @Override
    public void softmaxAgain(MemorySegment x, long at, int count, float scale, float logSum) {
        int i = 0;
        for (; i + LANES <= count; i += LANES) {
            store(exp(load(x, at + i).mul(scale).sub(logSum)), x, at + i);
        }
        plain.softmaxAgain(x, at + i, count - i, scale, logSum);
    }

    @Override
    public void softmaxBackward(MemorySegment dP, MemorySegment p, long at, int count, float delta, float scale) {
        int i = 0;
        for (; i + LANES <= count; i += LANES) {
            store(load(p, at + i).mul(load(dP, at + i).sub(delta)).mul(scale), dP, at + i);
        }
        plain.softmaxBackward(dP, p, at + i, count - i, delta, scale);
    }

    @Override
    public void silu(MemorySegment gate, long gateAt, long upAt, MemorySegment out, long outAt, int count) {
        int i = 0;
        for (; i + LANES <= count; i += LANES) {
            FloatVector g = load(gate, gateAt + i);
            store(g.div(exp(g.neg()).add(1f)).mul(load(gate, upAt + i)), out, outAt + i);
        }
        plain.silu(gate, gateAt + i, upAt + i, out, outAt + i, count - i);
    }

    @Override
    public void siluBackward(MemorySegment dGateUp, MemorySegment gateUp, long gateAt, long upAt, MemorySegment dY, long dYAt, int count) {
        FloatVector one = FloatVector.broadcast(SPECIES, 1f);
        int i = 0;
        for (; i + LANES <= count; i += LANES) {
            FloatVector g = load(gateUp, gateAt + i), u = load(gateUp, upAt + i), d = load(dY, dYAt + i);
            FloatVector sigmoid = one.div(exp(g.neg()).add(1f));
            store(d.mul(g.mul(sigmoid)), dGateUp, upAt + i);
            store(d.mul(u).mul(sigmoid.mul(g.fma(one.sub(sigmoid), one))), dGateUp, gateAt + i);
        }
        plain.siluBackward(dGateUp, gateUp, gateAt + i, upAt + i, dY, dYAt + i, count - i);
    }

    @Override
    public void gelu(MemorySegment gate, long gateAt, long upAt, MemorySegment out, long outAt, int count) {
        int i = 0;
        for (; i + LANES <= count; i += LANES) {
            FloatVector g = load(gate, gateAt + i);
            store(g.mul(normalCdf(g, exp(g.mul(g).mul(-0.5f)))).mul(load(gate, upAt + i)), out, outAt + i);
        }
        plain.gelu(gate, gateAt + i, upAt + i, out, outAt + i, count - i);
    }

    @Override
    public void geluBackward(MemorySegment dGateUp, MemorySegment gateUp, long gateAt, long upAt, MemorySegment dY, long dYAt, int count) {
        int i = 0;
        for (; i + LANES <= count; i += LANES) {
            FloatVector g = load(gateUp, gateAt + i), u = load(gateUp, upAt + i), d = load(dY, dYAt + i);
            FloatVector e = exp(g.mul(g).mul(-0.5f)), phi = normalCdf(g, e);
            store(d.mul(g.mul(phi)), dGateUp, upAt + i);
            store(d.mul(u).mul(g.mul(DENSITY).fma(e, phi)), dGateUp, gateAt + i);
        }
        plain.geluBackward(dGateUp, gateUp, gateAt + i, upAt + i, dY, dYAt + i, count - i);
    }

    @Override
    public void geluTanh(MemorySegment gate, long gateAt, long upAt, MemorySegment out, long outAt, int count) {
        int i = 0;
        for (; i + LANES <= count; i += LANES) {
            FloatVector g = load(gate, gateAt + i);
            store(g.div(tanhExp(g, g.mul(g)).add(1f)).mul(load(gate, upAt + i)), out, outAt + i);
        }
        plain.geluTanh(gate, gateAt + i, upAt + i, out, outAt + i, count - i);
    }

    @Override
    public void geluTanhBackward(MemorySegment dGateUp, MemorySegment gateUp, long gateAt, long upAt, MemorySegment dY, long dYAt, int count) {
        FloatVector one = FloatVector.broadcast(SPECIES, 1f), first = FloatVector.broadcast(SPECIES, TANH_1), third = FloatVector.broadcast(SPECIES, 3 * TANH_3);
        int i = 0;
        for (; i + LANES <= count; i += LANES) {
            FloatVector g = load(gateUp, gateAt + i), u = load(gateUp, upAt + i), d = load(dY, dYAt + i), square = g.mul(g);
            FloatVector e = tanhExp(g, square), sigmoid = one.div(e.add(1f)), slope = g.mul(square.fma(third, first));
            store(d.mul(g.mul(sigmoid)), dGateUp, upAt + i);
            store(d.mul(u).mul(sigmoid.mul(slope.fma(e.mul(sigmoid), one))), dGateUp, gateAt + i);
        }
        plain.geluTanhBackward(dGateUp, gateUp, gateAt + i, upAt + i, dY, dYAt + i, count - i);
    }

    @Override
    public void rotate(MemorySegment x, long firstAt, long secondAt, MemorySegment cos, MemorySegment sin, long angleAt, int count, float direction) {
        int i = 0;
        for (; i + LANES <= count; i += LANES) {
            FloatVector a = load(x, firstAt + i), b = load(x, secondAt + i);
            FloatVector c = load(cos, angleAt + i), s = load(sin, angleAt + i).mul(direction);
            store(a.mul(c).sub(b.mul(s)), x, firstAt + i);
            store(b.mul(c).add(a.mul(s)), x, secondAt + i);
        }
        plain.rotate(x, firstAt + i, secondAt + i, cos, sin, angleAt + i, count - i, direction);
    }

    @Override
    public void adamW(AdamWArguments step, MemorySegment parameter, MemorySegment gradient, MemorySegment first, MemorySegment second, long at, int count) {
        int i = 0;
        for (; i + LANES <= count; i += LANES) {
            FloatVector g = load(gradient, at + i).mul(step.gradScale());
            FloatVector m = load(first, at + i), v = load(second, at + i);
            m = m.add(g.sub(m).mul(step.firstRate()));
            v = v.mul(step.beta2()).add(g.mul(g).mul(step.secondRate()));
            FloatVector denominator = v.sqrt().mul(step.denominatorScale()).add(step.eps());
            store(m, first, at + i);
            store(v, second, at + i);
            store(load(parameter, at + i).mul(step.decay()).sub(m.div(denominator).mul(step.stepSize())), parameter, at + i);
        }
        plain.adamW(step, parameter, gradient, first, second, at + i, count - i);
    }
}
