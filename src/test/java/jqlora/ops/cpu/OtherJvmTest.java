package jqlora.ops.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The backend on processors with shorter vectors, such as Apple's with 128 bits, and where the Vector API's module is missing. */
class OtherJvmTest {
    @TempDir
    Path folder;

    /** Whatever the width, products of more than four rows have the bits that they have in this JVM. */
    @ParameterizedTest
    @CsvSource({"-XX:MaxVectorSize=16, 128, PlainFourBitCodec", "-XX:MaxVectorSize=32, 256, VectorFourBitCodec",
            "-XX:UseAVX=1, 128, PlainFourBitCodec", "-XX:UseAVX=2, 256, VectorFourBitCodec"})
    void shorterVectors(String option, int bits, String codec) throws IOException, InterruptedException {
        assumeTrue(option.contains("MaxVectorSize") || Tile.onX86(), "not an option of this processor's JVM");
        String printed = run(List.of("--add-modules", "jdk.incubator.vector", option), "vectors");
        assertTrue(printed.contains("vectors of " + bits + " bits: sound, codec " + codec + ", products " + OtherJvm.products()), printed);
    }

    @Test
    void noVectorModule() throws IOException, InterruptedException {
        String printed = run(List.of("--sun-misc-unsafe-memory-access=allow", "-Dai.djl.offline=true"), "no module");
        assertTrue(printed.matches("(?s).*PyTorch [0-9.]+: sound.*"), printed);
    }

    /** What {@link OtherJvm} printed; fails if it did. */
    private String run(List<String> options, String argument) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-Xmx1g",
                "--enable-native-access=ALL-UNNAMED", "-cp", System.getProperty("java.class.path")));
        command.addAll(options);
        command.addAll(List.of(OtherJvm.class.getName(), argument));
        Path output = folder.resolve("output.txt");
        Process process = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(output.toFile()).start();
        if (!process.waitFor(120, TimeUnit.SECONDS)) {
            process.destroyForcibly();
            fail("not done within 120 seconds: " + Files.readString(output));
        }
        assertEquals(0, process.exitValue(), () -> {
            try {
                return Files.readString(output);
            } catch (IOException unreadable) {
                return unreadable.toString();
            }
        });
        return Files.readString(output);
    }
}
