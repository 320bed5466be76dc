package jqlora.ops.cpu;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Path;
import java.util.List;
import jqlora.tensor.Processors;
import org.junit.jupiter.api.Test;

class CpuOptionsTest {
    @Test
    void aBackendHasTheThreadsThatWereAskedFor() {
        for (int threads : new int[] {1, 3}) {
            try (CpuOps ops = CpuOps.open(CpuOptions.defaults().withThreads(threads))) {
                assertEquals(threads, ops.threads());
            }
        }
        try (CpuOps ops = CpuOps.open(CpuOptions.defaults())) {
            assertEquals(Processors.ofProcess().threads(), ops.threads());
        }
    }

    @Test
    void withoutANumberTheProcessorsDecide() {
        Processors half = new Processors(8, 0.5, Path.of("cpu.max"));
        assertEquals(1, CpuOptions.defaults().threadsOn(half));
        assertEquals(6, CpuOptions.defaults().withThreads(6).threadsOn(half), "who asks for more gets more");
    }

    @Test
    void numbersAreRead() {
        assertEquals(new CpuOptions(12), CpuOptions.ofThreads("--threads", "12"));
        assertEquals(new CpuOptions(4), CpuOptions.ofThreads("--threads", "04"));
        for (String wrong : List.of("", "0", "-1", "two", "1.5", "4097", "99999999999", " 2", "2x")) {
            assertFails(IllegalArgumentException.class, () -> CpuOptions.ofThreads("JQLORA_THREADS", wrong),
                    "JQLORA_THREADS is \"" + wrong + "\", it must be a number of threads, 1 to 4096");
        }
    }

    @Test
    void otherNumbersAreRefused() {
        assertFails(IllegalArgumentException.class, () -> CpuOptions.defaults().withThreads(-2), "CPU: threads is -2, it must be 1 to 4096, or 0 for one for each processor");
        assertFails(IllegalArgumentException.class, () -> new CpuOptions(5000), "threads is 5000");
    }
}
