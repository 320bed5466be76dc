package jqlora.cli;

import java.nio.file.Path;
import java.util.List;
import jqlora.device.Nvidia;
import picocli.CommandLine.Option;

/** Options of every command that may compute on an NVIDIA GPU. */
final class CudaFolders {
    @Option(names = "--cuda-libraries", split = ":", paramLabel = "FOLDER", defaultValue = "${env:JQLORA_CUDA}",
            description = "Folders of NVIDIA's libraries, or site-packages with their wheels, before the system's places; default: the environment variable JQLORA_CUDA.")
    private List<Path> libraries;

    @Option(names = "--kernel-cache", paramLabel = "FOLDER", description = "Where compiled kernels stay for the next start; without it they are compiled each time.")
    private Path kernelCache;

    Nvidia nvidia() {
        return new Nvidia(libraries == null ? List.of() : libraries, kernelCache);
    }
}
