package jqlora.ops;

import jqlora.tensor.ShapeException;
import jqlora.tensor.Tensor;

/**
 * Rotary position embedding: the angle's cosine and sine for each position and each pair of coordinates of a head, i and i + rotaryDim / 2, or 2 i and 2 i + 1 where pairs are interleaved.
 * Coordinates from rotaryDim on, where there are any, stay as they are.
 *
 * @param cos F32 [positions, rotaryDim / 2]
 * @param sin F32 [positions, rotaryDim / 2]
 * @param interleaved whether neighbours turn together (GPT-J)
 * @see <a href="https://arxiv.org/abs/2104.09864">RoFormer</a>
 */
public record RopeTable(Tensor cos, Tensor sin, boolean interleaved) implements AutoCloseable {
    /** Of coordinates half a rotation apart. */
    public RopeTable(Tensor cos, Tensor sin) {
        this(cos, sin, false);
    }

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
