package jqlora.notebook;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import jqlora.ops.Ops;
import jqlora.ops.cpu.CpuOptions;
import jqlora.ops.cuda.CudaException;
import jqlora.ops.cuda.CudaLibraries;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ComputeDeviceTest {
    @TempDir
    private Path folder;

    @Test
    void namesArePyTorchs() {
        assertEquals(new ComputeDevice.Auto(), ComputeDevice.parse("--device", "auto"));
        assertEquals(new ComputeDevice.Cpu(), ComputeDevice.parse("--device", "cpu"));
        assertEquals(new ComputeDevice.Cuda(0), ComputeDevice.parse("--device", "cuda"));
        assertEquals(new ComputeDevice.Cuda(12), ComputeDevice.parse("--device", "cuda:12"));
    }

    @Test
    void otherNamesAreRefused() {
        for (String wrong : List.of("", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:x", "cuda:1234", "cuda 1")) {
            assertFails(IllegalArgumentException.class, () -> ComputeDevice.parse("JQLORA_DEVICE", wrong), "JQLORA_DEVICE is \"" + wrong + "\", it must be auto, cpu, cuda or cuda:N");
        }
    }

    @Test
    void withoutAGpuTheProcessorComputesAndNothingIsSaid() {
        CudaLibraries libraries = new CudaLibraries(List.of(folder));
        assumeTrue(libraries.devices() == 0, "this machine has a GPU");
        List<String> said = new ArrayList<>();
        try (Ops ops = new ComputeDevice.Auto().open(CpuOptions.defaults().withThreads(3), libraries, folder.resolve("kernels"), said::add)) {
            assertEquals("cpu", ops.name());
            assertEquals(3, ops.threads());
        }
        assertEquals(List.of(), said);
    }

    @Test
    void aGpuThatIsNamedMustBeThere() {
        CudaLibraries libraries = new CudaLibraries(List.of(folder));
        assumeTrue(libraries.missing().stream().anyMatch(line -> line.contains("driver")), "this machine has a driver");
        assertFails(CudaException.class, () -> new ComputeDevice.Cuda(0).open(CpuOptions.defaults(), libraries, null, note -> { }), "the NVIDIA driver, 580 or newer (libcuda.so.1) is missing");
    }
}
