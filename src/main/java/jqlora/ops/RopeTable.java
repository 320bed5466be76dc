package jqlora.ops;

import jqlora.tensor.ShapeException;
import jqlora.tensor.Tensor;

/**
 * Rotary position embedding: the angle's cosine and sine for each position and each pair of coordinates i and i + rotaryDim / 2 of a head. Coordinates
 * from rotaryDim on, where there are any, stay as they are.
 *
 * @param cos F32 [positions, rotaryDim / 2]
 * @param sin F32 [positions, rotaryDim / 2]
 * @see <a href="https://arxiv.org/abs/2104.09864">RoFormer</a>
 */
public record RopeTable(Tensor cos, Tensor sin) implements AutoCloseable {
    public RopeTable {
        if (cos.shape().rank() != 2) {
            throw new ShapeException("rope: cos has shape " + cos.shape() + ", it must be [positions, rotaryDim / 2]");
        }
        ShapeException.require("rope: sin", sin.shape(), cos.shape());
    }

    /** Positions that the table covers. */
    public int positions() {
        return (int) cos.shape().dim(0);
    }

    /** Pairs of coordinates that turn: rotaryDim / 2. */
    public int half() {
        return (int) cos.shape().dim(1);
    }

    @Override
    public void close() {
        cos.close();
        sin.close();
    }
}
