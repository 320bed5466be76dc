package jqlora.ops.cuda;

import java.io.File;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;

/** The GPU of the machine that runs the tests, and NVIDIA's libraries: where {@code -Djqlora.cuda=} says, or in the system's own places. */
public final class Gpu {
    private Gpu() { }

    public static CudaLibraries libraries() {
        String folders = System.getProperty("jqlora.cuda", "");
        return new CudaLibraries(folders.isBlank() ? List.of() : Arrays.stream(folders.split(File.pathSeparator)).map(Path::of).toList());
    }
}
