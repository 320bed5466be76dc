package jqlora.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import java.util.function.Predicate;
import java.util.stream.Stream;
import jqlora.TinyModel;
import jqlora.data.TokenizedRow;
import jqlora.ops.cpu.CpuOps;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** An interrupt ends a run after its step, or in an evaluation, with a checkpoint, whenever it comes, and the flag stays for the caller. */
class InterruptTest {
    private static final SmallRun RUN = new SmallRun(false);

    private static CpuOps ops;

    @TempDir
    private static Path uninterrupted;
    private static TrainResult expected;

    @TempDir
    private Path output;

    @BeforeAll
    static void open() throws IOException {
        ops = CpuOps.create();
        expected = RUN.go(ops, uninterrupted, TrainListener.SILENT);
    }

    @AfterAll
    static void close() {
        assertEquals(0, ops.memory().bytesInUse(), "bytes in use after all runs");
        ops.close();
    }

    private static Arguments when(String name, int lastStep, Predicate<TrainEvent> event) {
        return Arguments.argumentSet(name, lastStep, event);
    }

    static Stream<Arguments> moments() {
        return Stream.of(when("after the first evaluation", 1, event -> event instanceof TrainEvent.Evaluated evaluated && evaluated.step() == 0),
                when("after a step", 4, event -> event instanceof TrainEvent.StepEnd end && end.step() == 4),
                when("after a step that is evaluated", 6, event -> event instanceof TrainEvent.StepEnd end && end.step() == 6),
                when("after an evaluation", 6, event -> event instanceof TrainEvent.Evaluated evaluated && evaluated.step() == 6),
                when("after a checkpoint", 5, event -> event instanceof TrainEvent.Saved saved && saved.step() == 4));
    }

    @ParameterizedTest
    @MethodSource("moments")
    void endsAfterTheStepAndGoesOn(int lastStep, Predicate<TrainEvent> moment) throws IOException {
        TrainResult part = RUN.go(ops, output, event -> {
            if (moment.test(event)) {
                Thread.currentThread().interrupt();
            }
        });
        assertTrue(Thread.interrupted(), "the flag");
        assertTrue(part.interrupted());
        assertEquals(lastStep, part.steps().getLast().step());
        assertEquals("checkpoint-" + lastStep, new CheckpointFolder(output).latest().orElseThrow().getFileName().toString());
        assertFalse(SmallRun.names(output).contains("adapter_model.safetensors"), "a result of an unfinished run");
        RUN.assertSame(uninterrupted, expected, output, RUN.go(ops, output, TrainListener.SILENT));
        assertFalse(Thread.interrupted(), "a flag that nobody set");
    }

    private static Stream<Arguments> lastMoments() {
        return Stream.of(when("after the last evaluation", SmallRun.STEPS, event -> event instanceof TrainEvent.Evaluated evaluated && evaluated.step() == SmallRun.STEPS),
                when("after the last checkpoint", SmallRun.STEPS, event -> event instanceof TrainEvent.Saved saved && saved.step() == SmallRun.STEPS));
    }

    @ParameterizedTest
    @MethodSource("lastMoments")
    void inTheLastStepTheRunIsWholeAndTheFlagStays(int lastStep, Predicate<TrainEvent> moment) throws IOException {
        TrainResult result = RUN.go(ops, output, event -> {
            if (moment.test(event)) {
                Thread.currentThread().interrupt();
            }
        });
        assertTrue(Thread.interrupted(), "the flag");
        assertEquals(lastStep, result.steps().size());
        RUN.assertSame(uninterrupted, expected, output, result);
    }

    private TrainResult interruptedAt(Predicate<TrainEvent> moment) throws IOException {
        TrainResult part = RUN.go(ops, output, event -> {
            if (moment.test(event)) {
                Thread.currentThread().interrupt();
            }
        });
        assertTrue(Thread.interrupted(), "the flag");
        assertTrue(part.interrupted());
        return part;
    }

    /** Nothing has been learned, so there is nothing to save. */
    @Test
    void inTheFirstEvaluationItEndsBeforeItsFirstStep() throws IOException {
        TrainResult part = interruptedAt(event -> event instanceof TrainEvent.Started);
        assertEquals(0, part.steps().size());
        assertEquals(0, part.evaluations().size());
        assertFalse(Files.exists(output.resolve("checkpoint-0")));
        RUN.assertSame(uninterrupted, expected, output, RUN.go(ops, output, TrainListener.SILENT));
    }

    /** The evaluation that was ended is made when the run goes on: also the last one, after which there is no step. */
    @ParameterizedTest
    @ValueSource(ints = {6, SmallRun.STEPS})
    void anEvaluationThatIsEndedIsMadeLater(int evaluated) throws IOException {
        TrainResult part = interruptedAt(event -> event instanceof TrainEvent.StepEnd end && end.step() == evaluated);
        assertEquals(evaluated, part.steps().size());
        assertTrue(part.evaluations().getLast().step() < evaluated, "no result of half an evaluation");
        assertEquals("checkpoint-" + evaluated, new CheckpointFolder(output).latest().orElseThrow().getFileName().toString());
        assertFalse(SmallRun.names(output).contains("adapter_model.safetensors"), "a result of an unfinished run");
        RUN.assertSame(uninterrupted, expected, output, RUN.go(ops, output, TrainListener.SILENT));
        RUN.assertSame(uninterrupted, expected, output, RUN.go(ops, output, TrainListener.SILENT));
    }

    /** 300 rows in several parts: it is ended after the part that it is in, not at the end of all. */
    @Test
    void anEvaluationIsEndedWithinItsPart() throws IOException {
        RUN.onFreshWeights(ops, weights -> {
            List<TokenizedRow> rows = TinyModel.rows(300, 24, 12);
            int[] asked = {0};
            HeldOutLoss whole = HeldOutLoss.unless(() -> ++asked[0] < 0, weights.model(), rows).orElseThrow();
            assertEquals(HeldOutLoss.of(weights.model(), rows), whole);
            assertTrue(asked[0] > 2, asked[0] + " parts");
            asked[0] = 0;
            assertTrue(HeldOutLoss.unless(() -> ++asked[0] == 2, weights.model(), rows).isEmpty());
            assertEquals(2, asked[0]);
            return null;
        });
    }

    @Test
    void aThreadThatIsInterruptedAlreadyDoesOneStepMore() throws IOException {
        Predicate<TrainEvent> fourth = event -> event instanceof TrainEvent.StepEnd end && end.step() == 4;
        TrainResult part = null;
        for (int step = 4; step < 7; step++) {
            boolean first = step == 4;
            part = RUN.onFreshWeights(ops, weights -> {
                SftTrainer trainer = new SftTrainer(weights, SmallRun.rows(), SmallRun.heldOut(), SmallRun.config(), output);
                if (!first) {
                    Thread.currentThread().interrupt();
                }
                return trainer.train(event -> {
                    if (first && fourth.test(event)) {
                        Thread.currentThread().interrupt();
                    }
                });
            });
            assertTrue(Thread.interrupted(), "the flag");
            assertEquals(step, part.steps().size());
        }
        assertTrue(part.interrupted());
        RUN.assertSame(uninterrupted, expected, output, RUN.go(ops, output, TrainListener.SILENT));
    }

    /** Another thread interrupts at moments that nobody chose: in the middle of arithmetic, of a file, of a rename. */
    @Test
    void atRandomMomentsUntilItEnds() throws Exception {
        Random random = new Random(1);
        TrainResult result = null;
        for (int attempt = 0; result == null || result.interrupted(); attempt++) {
            assertTrue(attempt < 100, "a run that does not get ahead");
            Thread trainer = Thread.currentThread();
            Thread other = Thread.ofPlatform().start(() -> {
                try {
                    Thread.sleep(10 + random.nextInt(150));
                    trainer.interrupt();
                } catch (InterruptedException done) {
                    return;
                }
            });
            result = RUN.onFreshWeights(ops, weights -> new SftTrainer(weights, SmallRun.rows(), SmallRun.heldOut(), SmallRun.config(), output).train(TrainListener.SILENT));
            assertTrue(Thread.interrupted() || !result.interrupted(), "the flag of an interrupted run");
            other.interrupt();
            while (other.isAlive()) {
                Thread.onSpinWait();
            }
            Thread.interrupted();
        }
        RUN.assertSame(uninterrupted, expected, output, result);
    }

    @Test
    void withoutAFolderItEndsToo() throws IOException {
        TrainResult part = RUN.go(ops, null, event -> {
            if (event instanceof TrainEvent.StepEnd end && end.step() == 2) {
                Thread.currentThread().interrupt();
            }
        });
        assertTrue(Thread.interrupted(), "the flag");
        assertTrue(part.interrupted());
        assertEquals(2, part.steps().size());
    }
}
