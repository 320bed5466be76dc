package jqlora.model;

import java.io.IOException;
import java.lang.foreign.Arena;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.Shape;
import jqlora.tensor.TensorView;

/** Where a model's weights come from: a checkpoint, or random numbers. */
interface WeightSource {
    /**
     * The numbers of tensor {@code name}.
     *
     * @param arena for what must be made; the mapped bytes of a file need none
     * @throws IOException if it is not there, or has another shape
     */
    TensorView read(String name, Shape shape, Arena arena) throws IOException;

    /** The 4-bit weight {@code name} as stored; null if it is not in 4 bits. */
    QuantizedTensor readFourBit(String name, Shape shape) throws IOException;

    /** Whether a checkpoint has tensor {@code name}; false of weights that are made as they are asked for. */
    default boolean contains(String name) {
        return false;
    }

    /** Whether there are bytes behind the tensors; a plan has only shapes. */
    default boolean hasNumbers() {
        return true;
    }
}
