package jqlora.model;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import jqlora.format.BitsAndBytesState;
import jqlora.format.Checkpoint;
import jqlora.format.SafetensorsException;
import jqlora.tensor.Shape;
import jqlora.tensor.TensorView;

/**
 * A checkpoint as a decoder reads it: tensors under the names of the whole model, where the checkpoint may be that of the bare one, and linear weights as
 * [outFeatures, inFeatures], where it may have them the other way round.
 */
public record StoredTensors(Checkpoint checkpoint, DecoderSpec spec) {
    /** The name that the checkpoint has for tensor {@code name}. */
    public String nameOf(String name) {
        String base = spec.basePrefix();
        boolean bare = name.startsWith(base) && !checkpoint.contains(name) && checkpoint.contains(name.substring(base.length()));
        return bare ? name.substring(base.length()) : name;
    }

    /** The name in the model of tensor {@code stored} of the checkpoint. */
    String modelsNameOf(String stored) {
        String whole = spec.basePrefix() + stored;
        return nameOf(whole).equals(stored) ? whole : stored;
    }

    public boolean contains(String name) {
        return checkpoint.contains(nameOf(name));
    }

    /** Whether weight {@code name} is in 4 bits. */
    public boolean isFourBit(String name) {
        return BitsAndBytesState.isFourBit(checkpoint, nameOf(name));
    }

    /** Whether the checkpoint has the numbers of weight {@code name}. */
    public boolean hasNumbers(String name) {
        return contains(name) && !isFourBit(name);
    }

    /**
     * The numbers of tensor {@code name}, those of a transposed weight in the order of the model.
     *
     * @throws SafetensorsException if the tensor is not there
     */
    public TensorView get(String name) throws SafetensorsException {
        TensorView tensor = checkpoint.get(nameOf(name));
        return spec.isTransposed(name) && tensor.shape().rank() == 2 ? transposed(tensor) : tensor;
    }

    /** The error that tensor {@code name} of this checkpoint is not what it must be. */
    public SafetensorsException fault(String name, String what) {
        return new SafetensorsException(checkpoint.path(), nameOf(name), what);
    }

    /** A copy with rows and columns exchanged. */
    static TensorView transposed(TensorView tensor) {
        long rows = tensor.shape().dim(0), columns = tensor.shape().dim(1);
        int bytes = tensor.dtype().bytes();
        MemorySegment from = tensor.data(), to = Arena.ofAuto().allocate(Math.max(1, from.byteSize()), 8).asSlice(0, from.byteSize());
        for (long row = 0; row < rows; row++) {
            for (long column = 0; column < columns; column++) {
                MemorySegment.copy(from, (row * columns + column) * bytes, to, (column * rows + row) * bytes, bytes);
            }
        }
        return new TensorView(tensor.dtype(), Shape.of(columns, rows), to);
    }
}
