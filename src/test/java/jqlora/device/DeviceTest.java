package jqlora.device;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import jqlora.ops.Ops;
import jqlora.ops.cpu.CpuOptions;
import jqlora.ops.cuda.CudaException;
import jqlora.ops.cuda.CudaOptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DeviceTest {
    @TempDir
    private Path folder;

    @Test
    void namesArePyTorchs() {
        assertEquals(Device.auto(), Device.parse("--device", "auto"));
        assertEquals(Device.cpu(), Device.parse("--device", "cpu"));
        assertEquals(Device.cuda(0), Device.parse("--device", "cuda"));
        assertEquals(Device.cuda(12), Device.parse("--device", "cuda:12"));
    }

    @Test
    void otherNamesAreRefused() {
        for (String wrong : List.of("", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:x", "cuda:1234", "cuda 1")) {
            assertFails(IllegalArgumentException.class, () -> Device.parse("JQLORA_DEVICE", wrong),
                    "JQLORA_DEVICE is \"" + wrong + "\", it must be auto, cpu, cuda or cuda:N");
        }
    }

    @Test
    void withoutAGpuTheProcessorComputesAndNothingIsSaid() {
        Nvidia nvidia = new Nvidia(List.of(folder), folder.resolve("kernels"));
        assumeTrue(nvidia.gpus() == 0, "this machine has a GPU");
        List<String> said = new ArrayList<>();
        try (Ops ops = Device.auto().open(CpuOptions.defaults().withThreads(3), nvidia, said::add)) {
            assertEquals("cpu", ops.name());
            assertTrue(Device.isProcessor(ops));
            assertEquals(3, ops.threads());
        }
        assertEquals(List.of(), said);
    }

    @Test
    void theProcessorsOwnThreadsComeFirst() {
        Nvidia nvidia = new Nvidia(List.of(folder), null);
        CpuOptions three = CpuOptions.defaults().withThreads(3);
        try (Ops chosen = Device.cpu().withThreads(1).open(three, nvidia, note -> { }); Ops otherwise = Device.cpu().open(three, nvidia, note -> { })) {
            assertEquals(1, chosen.threads());
            assertEquals(3, otherwise.threads());
        }
    }

    @Test
    void aGpuThatIsNamedMustBeThere() {
        Nvidia nvidia = new Nvidia(List.of(folder), null);
        assumeTrue(nvidia.missing().stream().anyMatch(line -> line.contains("driver")), "this machine has a driver");
        assertFails(CudaException.class, () -> Device.cuda(0).open(CpuOptions.defaults(), nvidia, note -> { }),
                "the NVIDIA driver, 580 or newer (libcuda.so.1) is missing");
    }

    @Test
    void whatAGpuIsAskedForReachesItsBackend() {
        Path cache = folder.resolve("kernels");
        Nvidia nvidia = new Nvidia(List.of(folder), cache);
        assertEquals(CudaOptions.defaults().withLibraries(nvidia.libraries()).withCache(cache), Device.cuda(0).options(nvidia));
        Device.Cuda asked = Device.cuda(2).withPrecision(Precision.FP8).withBudget(8_000_000_000L).withDecodedWeights(5).withReproducible(false);
        assertEquals(new CudaOptions(2, 8_000_000_000L, 5, CudaOptions.Attention.FASTEST, CudaOptions.Tuning.MEASURED, CudaOptions.Products.FP8,
                nvidia.libraries(), cache), asked.options(nvidia));
    }

    @Test
    void optionsOutOfRangeAreRefused() {
        assertFails(IllegalArgumentException.class, () -> Device.cuda(-1), "cuda: the number is -1");
        assertFails(IllegalArgumentException.class, () -> Device.cuda(1).withBudget(0), "cuda:1: the budget is 0 bytes, it must be at least 1");
        assertFails(IllegalArgumentException.class, () -> Device.cuda(0).withDecodedWeights(-1), "decoded weights may take -1");
        assertFails(IllegalArgumentException.class, () -> Device.cuda(0).rehearsal(), "cuda:0: a GPU that is not here needs a budget");
        assertFails(IllegalArgumentException.class, () -> Device.cpu().withThreads(-1), "CPU: threads is -1");
    }

    @Test
    void theirTextSaysWhatIsNotTheDefault() {
        assertEquals("auto", Device.auto().toString());
        assertEquals("cpu", Device.cpu().toString());
        assertEquals("cpu with 1 thread", Device.cpu().withThreads(1).toString());
        assertEquals("cuda:1", Device.cuda(1).toString());
        assertEquals("cuda:0, FP8, at most 8000000000 bytes", Device.cuda(0).withPrecision(Precision.FP8).withBudget(8_000_000_000L).toString());
    }
}
