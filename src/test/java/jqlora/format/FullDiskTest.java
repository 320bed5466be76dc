package jqlora.format;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** In a process that may write files of 64 KiB at most: the system refuses the write as it does on a full disk. */
class FullDiskTest {
    private static final int FLOATS = 100_000;

    @TempDir
    private Path folder;

    /** Writes what {@code args} say and prints how it failed. */
    public static void main(String[] args) throws IOException {
        Path folder = Path.of(args[1]);
        TensorSource large = TensorSource.of("base_model.model.x.lora_A.weight", TensorView.ofFloats(new float[FLOATS], FLOATS, 1));
        try {
            switch (args[0]) {
                case "checkpoint" -> CheckpointWriter.write(folder, List.of(large), CheckpointWriter.MAX_SHARD_BYTES, FLOATS);
                case "adapter" -> PeftAdapterFiles.write(folder, Map.of("peft_type", "LORA"), List.of(large));
                case "text" -> PendingFile.replace(folder.resolve("config.json"), "x".repeat(FLOATS));
                default -> throw new IllegalArgumentException(args[0]);
            }
            System.out.println("written");
        } catch (IOException failed) {
            System.out.println(failed.getMessage());
        }
    }

    @Test
    @EnabledOnOs({OS.LINUX, OS.MAC})
    void theFileAndItsSizeAreNamedAndNothingIsLeft() throws IOException, InterruptedException {
        Map<String, String> files = Map.of("checkpoint", "model.safetensors", "adapter", "adapter_model.safetensors", "text", "config.json");
        for (Map.Entry<String, String> file : files.entrySet()) {
            Path target = Files.createDirectories(folder.resolve(file.getKey()));
            Files.writeString(target.resolve(file.getValue()), "the old one");
            String java = ProcessHandle.current().info().command().orElseThrow();
            Process process = new ProcessBuilder("/bin/sh", "-c", "ulimit -f 128; exec \"$0\" \"$@\"", java, "-XX:-UsePerfData", "-cp", System.getProperty("java.class.path"),
                    FullDiskTest.class.getName(), file.getKey(), target.toString()).redirectErrorStream(true).start();
            String printed = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            assertEquals(0, process.waitFor(), printed);
            assertTrue(printed.contains(target.resolve(file.getValue()) + ": could not be written: "), printed);
            assertTrue(printed.matches("(?s).*it needs (400\\d\\d\\d|100000) bytes, there are \\d+ free; nothing is left of it, .*make room on the disk.*"), printed);
            try (Stream<Path> left = Files.list(target)) {
                assertEquals(List.of(target.resolve(file.getValue())), left.toList(), "nothing half written beside the old one");
            }
            assertEquals("the old one", Files.readString(target.resolve(file.getValue())));
        }
    }
}
