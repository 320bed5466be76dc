package jqlora.format;

import java.io.IOException;
import java.nio.file.Path;

/** A safetensors file is not as it must be, or lacks a tensor. The message reads {@code path: tensor "name": what, what it must be}. */
public final class SafetensorsException extends IOException {
    private static final long serialVersionUID = 1L;

    private final transient Path path;
    private final String tensor;

    /** A fault of the file as a whole. */
    public SafetensorsException(Path path, String problem) {
        super(path + ": " + problem);
        this.path = path;
        this.tensor = null;
    }

    /** A fault of one tensor. */
    public SafetensorsException(Path path, String tensor, String problem) {
        super(path + ": tensor " + Quoted.of(tensor) + ": " + problem);
        this.path = path;
        this.tensor = tensor;
    }

    /** The file. */
    public Path path() {
        return path;
    }

    /** The tensor's name, or null if the fault is not of one tensor. */
    public String tensor() {
        return tensor;
    }
}
