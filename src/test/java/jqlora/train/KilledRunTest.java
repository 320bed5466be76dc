package jqlora.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.stream.Stream;
import jqlora.Oracle;
import jqlora.ops.cpu.CpuOps;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A process that trains is killed with SIGKILL and started again until it ends; it ends with the bytes and the history of one that was left alone. */
class KilledRunTest {
    private static final long PATIENCE_SECONDS = 600;

    @TempDir
    private Path folder;

    private Process child;

    /** Runs in a process of its own: {@code KilledRunTest OUTPUT FULL}. */
    static final class Child {
        private Child() { }

        public static void main(String[] args) throws IOException {
            try (CpuOps ops = CpuOps.create(1)) {
                new SmallRun(Boolean.parseBoolean(args[1])).go(ops, Path.of(args[0]), TrainListener.SILENT);
            }
        }
    }

    private Path output() {
        return folder.resolve("output");
    }

    private void start(boolean full) throws IOException {
        List<String> command = List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-Xmx512m", "-XX:TieredStopAtLevel=1", "--add-modules",
                "jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED", "-Djqlora.oracle=" + Oracle.root().toAbsolutePath(), "-cp", System.getProperty("java.class.path"),
                Child.class.getName(), output().toString(), String.valueOf(full));
        child = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(folder.resolve("printed.txt").toFile()).start();
    }

    @AfterEach
    void leaveNoProcess() throws InterruptedException {
        if (child != null) {
            child.destroyForcibly().waitFor();
        }
    }

    /** Kills the child as soon as {@code moment} has come; false if it ended before. */
    private boolean killedAt(BooleanSupplier moment) throws InterruptedException, IOException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
        while (child.isAlive() && !moment.getAsBoolean()) {
            if (System.nanoTime() > deadline) {
                fail("neither ended nor came to its moment: " + Files.readString(folder.resolve("printed.txt")));
            }
            LockSupport.parkNanos(20_000);                        // the child may have to share its processor with this
        }
        child.destroyForcibly().waitFor();
        int status = child.exitValue();
        assertTrue(status == 0 || status == 128 + 9, () -> "exit status " + status + ": " + printed());
        return status != 0;
    }

    private String printed() {
        try {
            return Files.readString(folder.resolve("printed.txt"));
        } catch (IOException unreadable) {
            return unreadable.toString();
        }
    }

    /** The run that was never killed, and the last start of the killed one, both in this process. */
    private void assertEndsAsUninterrupted(SmallRun run) throws IOException {
        try (CpuOps ops = CpuOps.create()) {
            Path alone = folder.resolve("alone");
            TrainResult expected = run.go(ops, alone, TrainListener.SILENT);
            run.assertSame(alone, expected, output(), run.go(ops, output(), TrainListener.SILENT));
        }
    }

    // ---- moments

    /** What is to be seen in the output folder at the moment of the kill. */
    enum Moment {
        PARTIAL_FOLDER(".partial-checkpoint-", ""), WEIGHTS_WRITTEN(".partial-checkpoint-", "MODEL"), MOMENTS_WRITTEN(".partial-checkpoint-", "optimizer.safetensors"),
        STATE_WRITTEN(".partial-checkpoint-", "trainer_state.json"), RENAMED("checkpoint-", ""), OLDEST_RENAMED(".partial-old-checkpoint-", ""),
        LAST_RENAMED("checkpoint-" + SmallRun.STEPS, ""), RESULT_WRITTEN("MODEL", "");

        private final String prefix;
        private final String inside;

        Moment(String prefix, String inside) {
            this.prefix = prefix;
            this.inside = inside;
        }

        /** Whether there is something that is not in {@code known}. */
        boolean hasCome(SmallRun run, Path output, List<String> known) {
            String beginning = prefix.replace("MODEL", run.weightsFile()), wanted = inside.replace("MODEL", run.weightsFile());
            try (Stream<Path> children = Files.list(output)) {
                return children.anyMatch(child -> child.getFileName().toString().startsWith(beginning) && !known.contains(child.getFileName().toString())
                        && (wanted.isEmpty() || Files.exists(child.resolve(wanted))));
            } catch (IOException | UncheckedIOException changing) {
                return false;                                     // not made yet, or renamed at this very moment
            }
        }
    }

    /** One kill, between the last file of a checkpoint and its rename; the run is finished here. */
    @Test
    void killedWhileACheckpointIsWritten() throws IOException, InterruptedException {
        SmallRun run = new SmallRun(false);
        boolean killed = false;
        for (int attempt = 0; attempt < 3 && !killed; attempt++) {
            deleteOutput();
            start(false);
            killed = killedAt(() -> Moment.STATE_WRITTEN.hasCome(run, output(), List.of()));
        }
        assertTrue(killed, "the child ended before it was killed, three times");
        assertEndsAsUninterrupted(run);
    }

    @ParameterizedTest
    @EnumSource
    @Tag("slow")
    void killedAgainAndAgainAtTheSameMoment(Moment moment) throws IOException, InterruptedException {
        for (SmallRun run : List.of(new SmallRun(false), new SmallRun(true))) {
            deleteOutput();
            int kills = 0;
            for (boolean ended = false; !ended && kills < 4; ) {
                List<String> known = filesIn(output());
                start(run.full());
                ended = !killedAt(() -> moment.hasCome(run, output(), known));
                kills += ended ? 0 : 1;
            }
            assertTrue(kills > 0, "never killed at " + moment);
            assertEndsAsUninterrupted(run);
        }
    }

    /** Mostly some time after the start has brought something new, so that the run gets ahead; sometimes while the process is still starting. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2})
    @Tag("slow")
    void killedAtRandomMomentsUntilItEnds(long seed) throws IOException, InterruptedException {
        Random random = new Random(seed);
        for (SmallRun run : List.of(new SmallRun(false), new SmallRun(true))) {
            deleteOutput();
            int kills = 0;
            for (boolean ended = false; !ended; ) {
                assertTrue(kills < 60, "a run that does not get ahead");
                List<String> known = filesIn(output());
                boolean early = random.nextInt(4) == 0;
                long delay = TimeUnit.MILLISECONDS.toNanos(random.nextInt(early ? 1_500 : 150));
                long[] from = {early ? System.nanoTime() : 0};
                start(run.full());
                ended = !killedAt(() -> {
                    if (from[0] == 0 && !known.containsAll(filesIn(output()))) {
                        from[0] = System.nanoTime();
                    }
                    return from[0] != 0 && System.nanoTime() - from[0] > delay;
                });
                kills += ended ? 0 : 1;
            }
            assertEndsAsUninterrupted(run);
        }
    }

    private static List<String> filesIn(Path folder) {
        try {
            return Files.isDirectory(folder) ? SmallRun.names(folder) : List.of();
        } catch (IOException | UncheckedIOException changing) {
            return List.of();
        }
    }

    private void deleteOutput() throws IOException {
        for (Path root : List.of(output(), folder.resolve("alone"))) {
            if (Files.exists(root)) {
                try (Stream<Path> tree = Files.walk(root)) {
                    for (Path path : tree.sorted(Comparator.reverseOrder()).toList()) {
                        Files.delete(path);
                    }
                }
            }
        }
        assertEquals(List.of(), Stream.of(output(), folder.resolve("alone")).filter(Files::exists).toList());
    }
}
