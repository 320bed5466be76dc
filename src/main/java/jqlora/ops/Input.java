package jqlora.ops;

import jqlora.tensor.Tensor;

/**
 * What a group of linear layers reads, as what it is made of: the forward makes it on the way and does not keep it, the backward makes it again, the same bits.
 *
 * <p>The gradient of {@link #x()}: of {@link Normed} it is <em>added into</em> what is given, since x also feeds the residual stream; of the others it
 * overwrites what is given, which may be x itself.
 */
public sealed interface Input {
    /** What is kept, [rows, ...]. */
    Tensor x();

    /** Columns of what the layers read. */
    long columns();

    /** x as it is. */
    record Kept(Tensor x) implements Input {
        @Override
        public long columns() {
            return x.shape().dim(1);
        }
    }

    /**
     * The norm of x.
     *
     * @param statistics F32, of the shape that {@link Norm#statistics} gives: overwritten by the forward, read by the backward
     */
    record Normed(Tensor x, Norm norm, Tensor statistics) implements Input {
        @Override
        public long columns() {
            return x.shape().dim(1);
        }
    }

    /** {@code activation(gate) up}. @param x [rows, 2 intermediate]: all gates of a row, then all ups */
    record Gated(Tensor x, Activation activation) implements Input {
        @Override
        public long columns() {
            return x.shape().dim(1) / 2;
        }
    }

    /** {@code activation(x)}. */
    record Activated(Tensor x, Activation activation) implements Input {
        @Override
        public long columns() {
            return x.shape().dim(1);
        }
    }
}
