package jqlora.ops;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import jqlora.tensor.TensorView;

/**
 * The update of one weight, {@code scaling B A}, row by row in float32: products summed over the rank in order, then scaled, as PEFT's
 * {@code get_delta_weight}.
 */
public final class LoraDelta {
    private final float[] a;
    private final float[] b;
    private final int r;
    private final int outFeatures;
    private final int inFeatures;
    private final float scaling;

    private LoraDelta(float[] a, float[] b, int r, float scaling) {
        this.a = a;
        this.b = b;
        this.r = r;
        this.outFeatures = b.length / r;
        this.inFeatures = a.length / r;
        this.scaling = scaling;
    }

    /** The update that {@code factors} make, copied to the host. */
    public static LoraDelta of(Store ops, LoraFactors factors) {
        return new LoraDelta(ops.download(factors.a().value()).toFloats(), ops.download(factors.b().value()).toFloats(), (int) factors.r(), factors.scaling());
    }

    public int outFeatures() {
        return outFeatures;
    }

    public int inFeatures() {
        return inFeatures;
    }

    public int r() {
        return r;
    }

    /** A, [r, inFeatures] row-major; a copy. */
    public float[] a() {
        return a.clone();
    }

    /** scaling B, [outFeatures, r] row-major; a copy. */
    public float[] scaledB() {
        float[] scaled = b.clone();
        for (int i = 0; i < scaled.length; i++) {
            scaled[i] *= scaling;
        }
        return scaled;
    }

    /** Row {@code row} of the update.
     * @param out [inFeatures], overwritten */
    public void row(int row, float[] out) {
        Arrays.fill(out, 0, inFeatures, 0f);
        for (int k = 0; k < r; k++) {
            float factor = b[row * r + k];
            int at = k * inFeatures;
            for (int i = 0; i < inFeatures; i++) {
                out[i] = Math.fma(factor, a[at + i], out[i]);
            }
        }
        for (int i = 0; i < inFeatures; i++) {
            out[i] *= scaling;
        }
    }

    /** Adds rows {@code from} ... {@code to - 1} of the update to those of {@code weight}, F32 [outFeatures, inFeatures]. */
    public void addTo(MemorySegment weight, int from, int to) {
        float[] delta = new float[inFeatures];
        for (int row = from; row < to; row++) {
            row(row, delta);
            for (int i = 0; i < inFeatures; i++) {
                long offset = 4 * ((long) row * inFeatures + i);
                weight.set(TensorView.FLOAT, offset, weight.get(TensorView.FLOAT, offset) + delta[i]);
            }
        }
    }

    /** The whole update, [outFeatures][inFeatures]. */
    public float[][] toRows() {
        float[][] rows = new float[outFeatures][inFeatures];
        for (int row = 0; row < outFeatures; row++) {
            row(row, rows[row]);
        }
        return rows;
    }
}
