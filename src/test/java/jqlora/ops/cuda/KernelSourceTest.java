package jqlora.ops.cuda;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
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
        assumeTrue(missing.isEmpty(), () -> String.join("\n", missing));
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
            assertTrue(compiled.log().contains("registers"), name + ": " + compiled.log());
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
}
