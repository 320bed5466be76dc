package jqlora.notebook;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import jqlora.ops.cpu.CpuOps;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class MachineTest {
    @TempDir
    private Path temp;

    @Test
    void aMachineIsATable() {
        Machine machine = new Machine("Some CPU @ 2 GHz", 2, 24_000_000_000L, 6_000_000_000L, List.of("NVIDIA H200"), "cuBLAS is missing", "cpu: Vector API, 512 bits, 2 threads", "F32", "Linux amd64, Java 25");
        String text = Rendered.of(machine).text();
        for (String line : List.of("processor", "Some CPU @ 2 GHz", "cores", "24.0 GB, of which Java's heap at most 6.00 GB", "NVIDIA H200; cuBLAS is missing",
                "cpu: Vector API, 512 bits, 2 threads", "F32", "Linux amd64, Java 25")) {
            assertTrue(text.contains(line), text);
        }
        assertEquals("2 cores, 24.0 GB, NVIDIA H200; cpu: Vector API, 512 bits, 2 threads", machine.toString());
    }

    @Test
    void thisMachineHasCoresAndMemory() {
        Machine machine = Qlora.machine();
        assertEquals(Runtime.getRuntime().availableProcessors(), machine.cores());
        assertTrue(machine.memoryBytes() > machine.heapBytes() / 2 && machine.heapBytes() > 0, machine.toString());
        assertTrue(machine.computes().contains(Qlora.ops().description()), machine.toString());
    }

    @Test
    void namesComeFromTheSystemsLists() throws IOException {
        Path list = Files.writeString(temp.resolve("cpuinfo"), "processor\t: 0\nmodel name\t: Some CPU: fast\nmodel name\t: other\n");
        assertEquals("Some CPU: fast", Machine.processor(list));
        assertEquals(System.getProperty("os.arch"), Machine.processor(temp.resolve("none")));
        Files.writeString(Files.createDirectories(temp.resolve("gpus/0000:01:00.0")).resolve("information"), "Model: \t\t NVIDIA H200\nIRQ: 1\n");
        assertEquals(List.of("NVIDIA H200"), Machine.names(temp.resolve("gpus")));
        assertEquals(List.of(), Machine.names(temp.resolve("nothing")));
    }

    @Test
    void theSameDeviceMayBeChosenTwice() {
        assertSame(Qlora.ops(), Qlora.useDevice("auto"));
        if (Qlora.ops() instanceof CpuOps) {
            assertSame(Qlora.ops(), Qlora.useDevice("cpu"));
            assertFails(IllegalStateException.class, () -> Qlora.useDevice("cuda:7"), "the backend of this notebook is open already: ");
        }
        assertFails(IllegalArgumentException.class, () -> Qlora.useDevice("gpu"), "useDevice: the device is \"gpu\", it must be auto, cpu, cuda or cuda:N");
    }
}
