package jqlora.format;

import java.io.IOException;
import jqlora.tensor.ByteSink;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.TensorView;

/**
 * A tensor to be written: what it is, known beforehand, and its bytes, asked for once when its turn comes. So a file of any size
 * is written with one tensor, or one piece of it, in memory.
 *
 * @param content writes exactly the bytes that {@code dtype} and {@code shape} need, little-endian and row-major, in one piece or many
 */
public record TensorSource(String name, DType dtype, Shape shape, Content content) {
    /** Produces the bytes of a tensor. */
    @FunctionalInterface
    public interface Content {
        void writeTo(ByteSink sink) throws IOException;
    }

    /** A tensor that is in memory or mapped; read when its turn comes. */
    public static TensorSource of(String name, TensorView tensor) {
        return new TensorSource(name, tensor.dtype(), tensor.shape(), sink -> sink.write(tensor.data()));
    }

    /** Bytes of the elements. */
    public long byteSize() {
        return dtype.byteSize(shape.size());
    }
}
