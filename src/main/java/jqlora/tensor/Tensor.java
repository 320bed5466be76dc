package jqlora.tensor;

/**
 * The handle of a tensor in a backend's memory, contiguous and row-major. Whoever holds the handle closes it; the memory
 * then goes back to the backend. A handle never prints its data.
 */
public interface Tensor extends AutoCloseable {
    DType dtype();

    Shape shape();

    /** Bytes of the elements. */
    default long byteSize() {
        return dtype().byteSize(shape().size());
    }

    /** Gives the memory back. A second call does nothing. */
    @Override
    void close();
}
