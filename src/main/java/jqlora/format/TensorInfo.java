package jqlora.format;

import jqlora.tensor.DType;
import jqlora.tensor.Shape;

/**
 * What a safetensors header says of one tensor.
 *
 * @param begin first byte of the elements, counted from the end of the header
 * @param end the byte after the last
 */
public record TensorInfo(String name, DType dtype, Shape shape, long begin, long end) {
    /** Bytes of the elements. */
    public long byteSize() {
        return end - begin;
    }

    /** Such as {@code lm_head.weight BF16 [49152, 576]}. */
    @Override
    public String toString() {
        return name + " " + dtype + " " + shape;
    }
}
