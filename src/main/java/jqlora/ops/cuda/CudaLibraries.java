package jqlora.ops.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.PathMatcher;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.stream.Stream;

/**
 * Finds and opens the driver and NVIDIA's libraries. A library that is open under its own name is the one that the presets' bindings and the
 * other libraries then link to, wherever it lies.
 *
 * @param folders where to look after the system's own places: folders of libraries, or {@code site-packages} of a Python environment that has
 *     the nvidia wheels
 */
public record CudaLibraries(List<Path> folders) {
    private static final List<Path> USUAL = List.of(Path.of("/usr/local/cuda/lib64"), Path.of("/usr/local/nvidia/lib64"), Path.of("/usr/lib/wsl/lib"),
            Path.of("/usr/lib/x86_64-linux-gnu"), Path.of("/usr/lib/aarch64-linux-gnu"));
    private static final List<String> IN_SITE_PACKAGES = List.of("nvidia/cu13/lib", "nvidia/cudnn/lib");

    /** In the order in which they need one another. */
    private enum Library {
        DRIVER("libcuda.so.1", "the NVIDIA driver, 580 or newer", "install it with the system's package manager (Debian, Ubuntu: apt install nvidia-driver-580)"),
        RUNTIME("libcudart.so.13", "the CUDA 13 runtime", "pip install nvidia-cuda-runtime"),
        NVRTC("libnvrtc.so.13", "the CUDA 13 run-time compiler", "pip install nvidia-cuda-nvrtc"),
        NVRTC_BUILTINS("libnvrtc-builtins.so.13.*", "the CUDA 13 run-time compiler", "pip install nvidia-cuda-nvrtc"),
        CUBLAS_LT("libcublasLt.so.13", "cuBLAS 13", "pip install nvidia-cublas"),
        CUBLAS("libcublas.so.13", "cuBLAS 13", "pip install nvidia-cublas"),
        CUDNN_GRAPH("libcudnn_graph.so.9", "cuDNN 9 for CUDA 13", "pip install nvidia-cudnn-cu13"),
        CUDNN_OPS("libcudnn_ops.so.9", "cuDNN 9 for CUDA 13", "pip install nvidia-cudnn-cu13"),
        CUDNN_CNN("libcudnn_cnn.so.9", "cuDNN 9 for CUDA 13", "pip install nvidia-cudnn-cu13"),
        CUDNN_ADV("libcudnn_adv.so.9", "cuDNN 9 for CUDA 13", "pip install nvidia-cudnn-cu13");

        private final String file, what, install;

        Library(String file, String what, String install) {
            this.file = file;
            this.what = what;
            this.install = install;
        }
    }

    public CudaLibraries {
        folders = List.copyOf(folders);
    }

    /** The system's own places. */
    public static CudaLibraries ofSystem() {
        return new CudaLibraries(List.of());
    }

    /** How many GPUs the driver has; 0 where there is no driver, or none that starts. Needs none of the other libraries. */
    public int devices() {
        return lookup(Library.DRIVER).map(CudaLibraries::count).orElse(0);
    }

    @SuppressWarnings("restricted")
    private static int count(SymbolLookup driver) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment number = arena.allocate(JAVA_INT);
            Linker linker = Linker.nativeLinker();
            int begun = (int) linker.downcallHandle(driver.findOrThrow("cuInit"), FunctionDescriptor.of(JAVA_INT, JAVA_INT)).invokeExact(0);
            if (begun != 0) {
                return 0;
            }
            int code = (int) linker.downcallHandle(driver.findOrThrow("cuDeviceGetCount"), FunctionDescriptor.of(JAVA_INT, ADDRESS)).invokeExact(number);
            return code == 0 ? number.get(JAVA_INT, 0) : 0;
        } catch (RuntimeException | Error failed) {
            throw failed;
        } catch (Throwable failed) {
            throw new AssertionError(failed);                     // a downcall throws nothing that is checked
        }
    }

    /** What stands between this machine and its GPU, a line each, with how to install it; empty if nothing is missing. */
    public List<String> missing() {
        return open(Library.values());
    }

    /** As {@link #missing}, of what compiling needs; that needs no GPU. */
    List<String> missingForCompiling() {
        return open(Library.NVRTC, Library.NVRTC_BUILTINS);
    }

    /** @throws CudaException if something is missing */
    void require() {
        requireNone(missing());
    }

    /** @throws CudaException if NVRTC is not there */
    SymbolLookup openNvrtc() {
        requireNone(missingForCompiling());
        return lookup(Library.NVRTC).orElseThrow();
    }

    private void requireNone(List<String> missing) {
        if (!missing.isEmpty()) {
            throw new CudaException("CUDA: " + String.join("; ", missing) + "; looked in the library path, " + searched());
        }
    }

    private List<String> open(Library... libraries) {
        Map<String, String> missing = new LinkedHashMap<>();
        for (Library library : libraries) {
            if (lookup(library).isEmpty()) {
                missing.putIfAbsent(library.what, library.what + " (" + library.file + ") is missing: " + library.install);
            }
        }
        return List.copyOf(missing.values());
    }

    private String searched() {
        return String.join(", ", Stream.concat(folders.stream(), USUAL.stream()).map(Path::toString).toList());
    }

    /** In the process already, in the library path, in a folder. What is opened stays open. */
    @SuppressWarnings("restricted")
    private Optional<SymbolLookup> lookup(Library library) {
        Stream<Supplier<SymbolLookup>> byName = library.file.contains("*") ? Stream.of() : Stream.of(() -> SymbolLookup.libraryLookup(library.file, Arena.global()));
        Stream<Supplier<SymbolLookup>> byPath = Stream.concat(folders.stream().flatMap(CudaLibraries::withInner), USUAL.stream())
                .flatMap(folder -> named(folder, library.file)).map(path -> () -> SymbolLookup.libraryLookup(path, Arena.global()));
        return Stream.concat(byName, byPath).flatMap(open -> opened(open).stream()).findFirst();
    }

    private static Optional<SymbolLookup> opened(Supplier<SymbolLookup> open) {
        try {
            return Optional.of(open.get());
        } catch (IllegalArgumentException notThere) {
            return Optional.empty();
        }
    }

    private static Stream<Path> withInner(Path folder) {
        return Stream.concat(Stream.of(folder), IN_SITE_PACKAGES.stream().map(folder::resolve));
    }

    private static Stream<Path> named(Path folder, String glob) {
        PathMatcher matcher = FileSystems.getDefault().getPathMatcher("glob:" + glob);
        try (Stream<Path> files = Files.list(folder)) {
            return files.filter(file -> matcher.matches(file.getFileName())).sorted().toList().stream();
        } catch (IOException absent) {
            return Stream.of();
        }
    }
}
