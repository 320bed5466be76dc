package jqlora.model;

import jqlora.ops.Ops;
import jqlora.ops.RopeTable;
import jqlora.tensor.DType;
import jqlora.tensor.TensorView;

/** Makes rotation tables, in the float32 steps of transformers: angle = position * frequency, then cosine and sine. */
final class RopeTables {
    private RopeTables() { }

    /** Rows of the table for sequences of up to {@code positions}: more than asked for, so that it is seldom made again. */
    static int rows(RopeSpec spec, int positions) {
        return Math.max(positions, Math.min(2 * positions, spec.maxPositionEmbeddings()));
    }

    /** A table that takes what {@link #create} takes, with undefined elements. */
    static RopeTable sized(Ops ops, RopeSpec spec, int positions) {
        return new RopeTable(ops.allocate(DType.F32, positions, spec.rotaryDim() / 2), ops.allocate(DType.F32, positions, spec.rotaryDim() / 2),
                spec.interleaved());
    }

    static RopeTable create(Ops ops, RopeSpec spec, int positions) {
        float[] frequencies = spec.inverseFrequencies();
        int half = frequencies.length;
        float[] cos = new float[positions * half], sin = new float[positions * half];
        for (int position = 0; position < positions; position++) {
            for (int i = 0; i < half; i++) {
                float angle = position * frequencies[i];
                cos[position * half + i] = (float) Math.cos(angle);
                sin[position * half + i] = (float) Math.sin(angle);
            }
        }
        return new RopeTable(ops.upload(TensorView.ofFloats(cos, positions, half)), ops.upload(TensorView.ofFloats(sin, positions, half)), spec.interleaved());
    }
}
