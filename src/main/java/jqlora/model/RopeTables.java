package jqlora.model;

import jqlora.ops.Ops;
import jqlora.ops.RopeTable;
import jqlora.tensor.TensorView;

/** Makes rotation tables, in the float32 steps of transformers: angle = position * frequency, then cosine and sine. */
final class RopeTables {
    private RopeTables() { }

    static RopeTable create(Ops ops, RopeSpec spec, int headDim, int positions) {
        float[] frequencies = spec.inverseFrequencies(headDim);
        int half = frequencies.length;
        float[] cos = new float[positions * half], sin = new float[positions * half];
        for (int position = 0; position < positions; position++) {
            for (int i = 0; i < half; i++) {
                float angle = position * frequencies[i];
                cos[position * half + i] = (float) Math.cos(angle);
                sin[position * half + i] = (float) Math.sin(angle);
            }
        }
        return new RopeTable(ops.upload(TensorView.ofFloats(cos, positions, half)), ops.upload(TensorView.ofFloats(sin, positions, half)));
    }
}
