package jqlora.ops.cuda;

import java.io.File;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;

/** The GPU of the machine that runs the tests, and NVIDIA's libraries: where {@code -Djqlora.cuda=} says, or in the system's own places. */
public final class Gpu {
    private static final long TEST_BUDGET = 6L << 30;

    private Gpu() { }

    public static CudaLibraries libraries() {
        String folders = System.getProperty("jqlora.cuda", "");
        return new CudaLibraries(folders.isBlank() ? List.of() : Arrays.stream(folders.split(File.pathSeparator)).map(Path::of).toList());
    }

    /** Whether the tests of this run are those with the tag {@code gpu}: then a missing GPU fails them. */
    public static boolean isWanted() {
        return Boolean.getBoolean("gpu.required");
    }

    public static CudaOptions options() {
        return CudaOptions.defaults().withLibraries(libraries()).withBudgetBytes(TEST_BUDGET);
    }

    /** With products in FP8. @param scalesApart as on devices where cuBLASLt takes no scale for each row */
    public static CudaOps openFp8(boolean scalesApart) {
        return CudaOps.open(options().withProducts(CudaOptions.Products.FP8), scalesApart);
    }
}
