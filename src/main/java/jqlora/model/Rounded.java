package jqlora.model;

import java.lang.foreign.Arena;
import jqlora.tensor.DType;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.TensorView;
import jqlora.tensor.Workers;

/** Numbers in another type, rounded to nearest. */
final class Rounded {
    private static final int CHUNK = 1 << 20;

    private Rounded() { }

    /** {@code tensor} in {@code dtype}, itself if it has it. */
    static TensorView to(DType dtype, TensorView tensor, Arena arena, Workers workers) {
        if (dtype == tensor.dtype()) {
            return tensor;
        }
        long elements = tensor.shape().size();
        TensorView copy = new TensorView(dtype, tensor.shape(), arena.allocate(dtype.byteSize(elements), 64));
        workers.ranges(elements, CHUNK, (from, to) -> {
            float[] chunk = new float[(int) Math.min(CHUNK, to - from)];
            for (long at = from; at < to; at += chunk.length) {
                int count = (int) Math.min(chunk.length, to - at);
                FloatConversion.toFloats(tensor.dtype(), tensor.data(), at, chunk, 0, count);
                FloatConversion.fromFloats(chunk, 0, count, dtype, copy.data(), at);
            }
        });
        return copy;
    }
}
