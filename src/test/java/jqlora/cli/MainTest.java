package jqlora.cli;

import static jqlora.cli.CommandLines.run;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import jqlora.Oracle;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.ModelLoader;
import jqlora.ops.cpu.CpuOps;
import jqlora.ops.cuda.CudaLibraries;
import jqlora.tensor.Processors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

class MainTest {
    @TempDir
    Path temp;

    @Test
    void helpNamesTheCommandsAndTheirDefaults() {
        CommandLines main = run("--help");
        assertEquals(0, main.status());
        assertTrue(main.out().contains("Usage: jqlora") && main.out().contains("pretrain") && main.out().contains("from random weights"), main.out());
        CommandLines pretrain = run("pretrain", "--help");
        assertEquals(0, pretrain.status());
        for (String part : List.of("--base=", "--corpus=", "--output=", "--epochs=", "Default: 9.47", "--learning-rate=", "Default: 0.003")) {
            assertTrue(pretrain.out().contains(part), part + " is not in " + pretrain.out());
        }
    }

    @Test
    void whatIsNoOptionOrMissingIsNamedWithWhatHelps() {
        refused("Unknown option: '--corpse'", "Possible solutions: --corpus", "pretrain", "--base", "a", "--corpus", "b", "--output", "c", "--corpse");
        refused("Missing required option: '--output=<output>'", "Usage: jqlora pretrain", "pretrain", "--base", "a", "--corpus", "b");
        refused("Invalid value for option '--length': 'long' is not an int", "Usage: jqlora pretrain", "pretrain", "--base", "a", "--corpus", "b", "--output", "c", "--length", "long");
        refused("Missing required subcommand", "Usage: jqlora");
        refused("Unmatched argument at index 0: 'pretain'", "Did you mean: jqlora pretrain or jqlora train?", "pretain");
    }

    @Test
    void aMissingGpuIsSaid() {
        assumeTrue(CudaLibraries.ofSystem().devices() == 0, "this machine has a GPU");
        assertEquals(new CommandLines(1, "no NVIDIA GPU with a working driver\n", ""), run("gpu"));
    }

    @Test
    void theNumberOfThreadsIsSaidWithItsReason() {
        assertEquals(new CommandLines(0, "3 threads as asked for on " + Processors.ofProcess() + "\n", ""), run("cpu", "--threads", "3"));
        assertEquals(new CommandLines(0, "1 thread as asked for on " + Processors.ofProcess() + "\n", ""), run("cpu", "--threads", "1"));
        assertEquals(new CommandLines(2, "", "cpu: --threads is \"none\", it must be a number of threads, 1 to 4096; without it there is one for each processor\n"),
                run("cpu", "--threads", "none"));
    }

    private static void refused(String message, String hint, String... args) {
        CommandLines ran = run(args);
        assertEquals(CommandLine.ExitCode.USAGE, ran.status(), ran.err());
        assertTrue(ran.err().contains(message) && ran.err().contains(hint), message + " and " + hint + " are not in " + ran.err());
    }

    // ---- pretrain

    private Path corpus(int trainTokens, int highest) throws IOException {
        Path folder = Files.createDirectories(temp.resolve("corpus"));
        Random random = new Random(9);
        for (String name : List.of("train.bin", "valid.bin")) {
            byte[] bytes = new byte[2 * (name.equals("train.bin") ? trainTokens : 64)];
            for (int i = 0; i < bytes.length; i += 2) {
                bytes[i] = (byte) random.nextInt(highest + 1);
            }
            Files.write(folder.resolve(name), bytes);
        }
        return folder;
    }

    /** 14 rows of 16 tokens, 2 micro-batches of 2 rows a step, two epochs: 8 steps, a checkpoint every 3. */
    private String[] pretrain(Path output) throws IOException {
        return List.of("pretrain", "--base", Oracle.path("families/llama").toString(), "--corpus", corpus(14 * 16 + 5, 198).toString(), "--output", output.toString(),
                "--length", "16", "--micro-batch", "2", "--accumulate", "2", "--epochs", "2", "--warmup", "2", "--save-steps", "3", "--device", "cpu").toArray(String[]::new);
    }

    /** As {@link #pretrain(Path)}, with another value of one option. */
    private String[] pretrain(Path output, String option, String value) throws IOException {
        String[] args = pretrain(output);
        args[1 + Arrays.asList(args).indexOf(option)] = value;
        return args;
    }

    private static List<String> evaluations(String out) {
        return out.lines().filter(line -> line.contains("held-out loss")).toList();
    }

    @Test
    void aStoppedPretrainingGoesOnAndEndsAsAnUninterruptedOne() throws IOException {
        Path whole = temp.resolve("whole"), stopped = temp.resolve("stopped");
        CommandLines uninterrupted = run(pretrain(whole));
        assertEquals(0, uninterrupted.status(), uninterrupted.err());
        assertTrue(uninterrupted.out().contains("14 rows of 16 tokens, 8 steps") && uninterrupted.out().contains("from step 1") && uninterrupted.out().contains("done after"), uninterrupted.out());
        assertTrue(uninterrupted.out().contains("wrote " + whole + "; " + whole.resolve(".training") + " may be deleted"), uninterrupted.out());
        assertEquals(4, evaluations(uninterrupted.out()).size(), "at 0, 3, 6 and 8");

        CommandLines first = run(line -> {
            if (line.contains("checkpoint-3")) {
                Thread.currentThread().interrupt();
            }
        }, pretrain(stopped));
        assertTrue(Thread.interrupted(), "the flag stays set");
        assertEquals(1, first.status(), first.err());
        assertTrue(first.out().contains("interrupted after"), first.out());
        assertFalse(Files.exists(stopped.resolve("model.safetensors")), "no model is written yet");

        CommandLines second = run(pretrain(stopped));
        assertEquals(0, second.status(), second.err());
        assertTrue(second.out().contains("from step 5"), "step 4 was finished and saved: " + second.out());
        assertEquals(evaluations(uninterrupted.out()).subList(2, 4), evaluations(second.out()));
        assertArrayEquals(Files.readAllBytes(whole.resolve("model.safetensors")), Files.readAllBytes(stopped.resolve("model.safetensors")), "weights");
        try (CpuOps ops = CpuOps.create(); CausalLm model = ModelLoader.load(stopped, LoadOptions.asStored(), ops, LoadListener.SILENT)) {
            assertEquals("llama, 2 layers, hidden 64 on " + ops.name(), model.toString());
        }
    }

    @Test
    void filesAndNumbersThatDoNotFitEndWithTheirMessageAlone() throws IOException {
        Path output = temp.resolve("out");
        ended("batches: perDeviceTrainBatchSize 0 and gradientAccumulationSteps 2 must be at least 1", pretrain(output, "--micro-batch", "0"));
        ended("--device is \"tpu\", it must be auto, cpu, cuda or cuda:N", pretrain(output, "--device", "tpu"));
        ended("learning rate: peak is 0.003 and warmupSteps is -2", pretrain(output, "--warmup", "-2"));
        ended("length is -4, it must be at least 1", pretrain(output, "--length", "-4"));
        ended("train.bin: has 229 tokens, it must have at least 300 for one row", pretrain(output, "--length", "300"));
        ended(temp.resolve("nowhere/train.bin") + ": does not exist, it must be one of unsigned 16-bit token ids", pretrain(output, "--corpus", temp.resolve("nowhere").toString()));
        Path taken = Files.createDirectories(temp.resolve("taken"));
        Files.writeString(taken.resolve("adapter_config.json"), "{}");
        ended(taken + ": holds an adapter", pretrain(taken, "--corpus", temp.resolve("nowhere").toString()));
        ended("the folder of --base, it must be another one", pretrain(Oracle.path("families/llama")));
        String[] args = pretrain(output);
        corpus(64, 250);
        ended("must be below the model's vocabulary, 199", args);
        assertFalse(Files.exists(output), "nothing is written");
    }

    private static void ended(String message, String... args) {
        CommandLines ran = run(args);
        assertEquals(2, ran.status(), ran.err());
        assertTrue(ran.err().startsWith("pretrain: ") && ran.err().contains(message) && ran.err().lines().count() == 1, ran.err());
    }
}
