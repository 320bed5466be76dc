package jqlora.device;

import java.nio.file.Path;
import java.util.List;
import jqlora.ops.cuda.CudaLibraries;

/**
 * What this machine has for its NVIDIA GPUs.
 *
 * @param folders of NVIDIA's libraries, or site-packages with their wheels, before the system's places
 * @param kernelCache folder for compiled kernels; null to compile them each time
 */
public record Nvidia(List<Path> folders, Path kernelCache) {
    public Nvidia {
        folders = List.copyOf(folders);
    }

    /** How many GPUs the driver knows; 0 without a working driver. */
    public int gpus() {
        return libraries().devices();
    }

    /** What is missing for computing on a GPU, a line each with what would help; empty if nothing is. */
    public List<String> missing() {
        return libraries().missing();
    }

    CudaLibraries libraries() {
        return new CudaLibraries(folders);
    }
}
