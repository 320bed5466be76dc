package jqlora.ops.cuda;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A machine without a GPU is told what it lacks, and nothing else happens to it. */
class CudaLibrariesTest {
    @TempDir
    private Path folder;
    private CudaLibraries libraries;

    @BeforeEach
    void withoutDriver() {
        libraries = new CudaLibraries(List.of(folder));
        assumeFalse(libraries.missing().stream().noneMatch(line -> line.contains("driver")), "this machine has a driver");
    }

    @Test
    void whatIsMissingIsNamedWithHowToInstallIt() {
        assertEquals("the NVIDIA driver, 580 or newer (libcuda.so.1) is missing: install it with the system's package manager (Debian, Ubuntu: apt install nvidia-driver-580)",
                libraries.missing().getFirst());
    }

    @Test
    void openingTheBackendSaysTheSameAndWhereItLooked() {
        assertFails(CudaException.class, () -> CudaOps.open(CudaOptions.defaults().withLibraries(libraries)), "CUDA: the NVIDIA driver, 580 or newer (libcuda.so.1) is missing",
                "looked in the library path, " + folder + ", /usr/local/cuda/lib64");
    }

    @Test
    void optionsAreChecked() {
        assertFails(IllegalArgumentException.class, () -> CudaOptions.defaults().withDevice(-1), "device is -1");
        assertFails(IllegalArgumentException.class, () -> CudaOptions.defaults().withBudgetBytes(-5), "budgetBytes -5");
        assertEquals(3, CudaOptions.defaults().withDevice(3).withTuning(CudaOptions.Tuning.MEASURED).device());
    }

    @Test
    void fp8IsRefusedWhereThereIsNone() {
        assertEquals(CudaOptions.Products.BF16, CudaOptions.defaults().products());
        assertEquals(CudaOptions.Products.FP8, CudaOptions.defaults().withProducts(CudaOptions.Products.FP8).withDevice(1).products());
        assertFails(CudaException.class, () -> Fp8Weights.require("NVIDIA A100-SXM4-80GB", 8, 0),
                "CUDA: products in FP8 need compute capability 8.9 or more, NVIDIA A100-SXM4-80GB has 8.0; use BF16");
        assertFails(CudaException.class, () -> Fp8Weights.require("NVIDIA GeForce RTX 3090", 8, 6), "NVIDIA GeForce RTX 3090 has 8.6");
        Fp8Weights.require("NVIDIA L4", 8, 9);
        Fp8Weights.require("NVIDIA H200", 9, 0);
    }
}
