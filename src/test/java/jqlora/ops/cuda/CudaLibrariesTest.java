package jqlora.ops.cuda;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import java.nio.file.Files;
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
        String driver = libraries.missing().getFirst();
        for (String part : List.of("the NVIDIA driver, 580 or newer (libcuda.so.1) was not found", folder.toString(), "/usr/local/cuda/lib64", "apt install nvidia-driver-580")) {
            assertTrue(driver.contains(part), driver);
        }
    }

    @Test
    void aFileThatIsNoLibraryIsMissingToo() throws Exception {
        Files.writeString(folder.resolve("libcuda.so.1"), "no library");
        assertTrue(libraries.missing().getFirst().startsWith("the NVIDIA driver"), libraries.missing().toString());
    }

    @Test
    void openingTheBackendSaysTheSame() {
        CudaException failed = assertFails(CudaException.class, () -> CudaOps.open(CudaOptions.defaults().withLibraries(libraries)), "CUDA: the NVIDIA driver, 580 or newer (libcuda.so.1)");
        assertTrue(failed.getMessage().contains(folder.toString()), failed.getMessage());
    }

    @Test
    void optionsAreChecked() {
        assertFails(IllegalArgumentException.class, () -> CudaOptions.defaults().withDevice(-1), "device is -1");
        assertFails(IllegalArgumentException.class, () -> CudaOptions.defaults().withBudgetBytes(-5), "budgetBytes -5");
        assertEquals(3, CudaOptions.defaults().withDevice(3).withTuning(CudaOptions.Tuning.MEASURED).device());
    }
}
