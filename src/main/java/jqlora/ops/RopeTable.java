package jqlora.ops;

import jqlora.tensor.ShapeException;
import jqlora.tensor.Tensor;

/**
 * Rotary position embedding: the angle's cosine and sine for each position and each pair of coordinates i and i + headDim / 2.
 *
 * @param cos F32 [positions, headDim / 2]
 * @param sin F32 [positions, headDim / 2]
 * @see <a href="https://arxiv.org/abs/2104.09864">RoFormer</a>
 */
public record RopeTable(Tensor cos, Tensor sin) implements AutoCloseable {
    public RopeTable {
        ShapeException.require("rope: sin", sin.shape(), cos.shape());
    }

    /** Positions that the table covers. */
    public int positions() {
        return (int) cos.shape().dim(0);
    }

    @Override
    public void close() {
        cos.close();
        sin.close();
    }
}
