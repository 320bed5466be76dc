package jqlora.format;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import jqlora.tensor.TensorView;

/** Tensors by name in one file or a folder of them, mapped into memory: nothing is copied until it is read. */
public sealed interface NamedTensors extends AutoCloseable permits SafetensorsFile, Checkpoint {
    /** The file, or the folder of files. */
    Path path();

    /** What each tensor is, by name, in the order of the bytes. */
    Map<String, TensorInfo> infos();

    /**
     * The tensor {@code name}. Its bytes are valid until this is closed.
     *
     * @throws SafetensorsException if there is none; the message gives names near it
     */
    TensorView get(String name) throws SafetensorsException;

    /** Ends the mapping; a tensor read afterwards throws {@link IllegalStateException}. */
    @Override
    void close();

    /** The names, in the order of the bytes. */
    default List<String> names() {
        return List.copyOf(infos().keySet());
    }

    /** All tensors, in the order of the bytes. */
    default List<TensorInfo> tensors() {
        return List.copyOf(infos().values());
    }

    default boolean contains(String name) {
        return infos().containsKey(name);
    }

    /** Bytes of all tensors together. */
    default long byteSize() {
        return infos().values().stream().mapToLong(TensorInfo::byteSize).sum();
    }
}
