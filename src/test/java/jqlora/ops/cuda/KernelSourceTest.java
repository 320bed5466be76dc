package jqlora.ops.cuda;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;

/** Every kernel compiles for every architecture that is supported, and keeps its values in registers. No GPU is needed, only NVRTC. */
@Tag("slow")
class KernelSourceTest {
    static final List<String> ARCHITECTURES = List.of("sm_80", "sm_89", "sm_90", "sm_100");

    private static Nvrtc nvrtc;

    @BeforeAll
    static void compilerIsThere() {
        List<String> missing = Gpu.libraries().missingForCompiling();
        assertTrue(missing.isEmpty(), () -> "-Djqlora.cuda must name a site-packages with NVIDIA's wheels: " + String.join("\n", missing));
        nvrtc = Nvrtc.open(Gpu.libraries());
    }

    @Test
    void everySourceIsListed() throws IOException {
        try (Stream<Path> files = Files.list(Path.of("src/main/resources/jqlora/ops/cuda"))) {
            List<String> names = files.map(path -> path.getFileName().toString()).filter(name -> name.endsWith(".cu")).map(name -> name.replace(".cu", "")).sorted().toList();
            assertEquals(KernelSource.NAMES.stream().sorted().toList(), names);
        }
    }

    @ParameterizedTest
    @FieldSource("ARCHITECTURES")
    void compiles(String architecture) {
        for (String name : KernelSource.NAMES) {
            Nvrtc.Compiled compiled = nvrtc.compile(KernelSource.of(name), List.of("--gpu-architecture=" + architecture, "--ptxas-options=-v", "-default-device"));
            assertTrue(compiled.cubin().length > 0, name);
            assertEquals(!name.equals("fp8") || !architecture.equals("sm_80"), compiled.log().contains("registers"), name + ": " + compiled.log());
            assertFalse(compiled.log().lines().anyMatch(line -> line.contains("warning")), name + ": " + compiled.log());
            for (String line : compiled.log().lines().filter(line -> line.contains("stack frame")).toList()) {
                assertTrue(line.contains("0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads"), name + ": " + compiled.log());
            }
        }
    }

    @Test
    void anErrorShowsFileLineAndOptions() {
        KernelSource wrong = new KernelSource("wrong", "extern \"C\" __global__ void f() { undeclared = 1; }", "");
        assertFails(CudaException.class, () -> nvrtc.compile(wrong, List.of("--gpu-architecture=sm_90")),
                "nvrtcCompileProgram: NVRTC_ERROR_COMPILATION (6)", "wrong.cu --gpu-architecture=sm_90", "wrong.cu(1)", "undeclared");
    }

    /** Compiled once for each source, set of options and device; then read from the folder. */
    @Test
    void machineCodeIsKept(@TempDir Path folder) throws IOException {
        KernelSource source = new KernelSource("kept", "extern \"C\" __global__ void f(int* x) { *x = 1; }", "");
        List<String> options = List.of("--gpu-architecture=sm_90");
        CubinCache cache = new CubinCache(nvrtc, folder.resolve("kernels"), "a device");
        byte[] cubin = cache.get(source, options);
        Path file = onlyFile(folder.resolve("kernels"));
        assertTrue(file.getFileName().toString().matches("kept-[0-9a-f]{24}\\.cubin"), file.toString());
        assertArrayEquals(cubin, Files.readAllBytes(file));
        Files.write(file, new byte[] {1, 2, 3});
        assertArrayEquals(new byte[] {1, 2, 3}, cache.get(source, options), "read, not compiled");
        for (byte[] other : List.of(new CubinCache(nvrtc, folder.resolve("kernels"), "another device").get(source, options), cache.get(source, List.of("--gpu-architecture=sm_80")),
                cache.get(new KernelSource("kept", source.text() + " ", ""), options))) {
            assertTrue(other.length > 3, "compiled anew");
        }
        Path taken = Files.writeString(folder.resolve("file"), "");
        assertFails(CudaException.class, () -> new CubinCache(nvrtc, taken, "").get(source, options), "the folder for compiled kernels, " + taken + ", cannot be used");
    }

    private static Path onlyFile(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            List<Path> all = files.toList();
            assertEquals(1, all.size(), all.toString());
            return all.getFirst();
        }
    }
}
