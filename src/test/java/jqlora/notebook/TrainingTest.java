package jqlora.notebook;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import jqlora.model.ModelUse;
import jqlora.train.TrainEvent;
import jqlora.train.TrainListener;
import jqlora.train.TrainResult;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class TrainingTest {
    private static final int TOTAL = 1_000_000;

    private final RecordingScreen screen = new RecordingScreen();
    private final ModelUse model = new ModelUse("the model tiny");

    /** Does no work: steps until its thread is interrupted, or the last one; a second call goes on where the first ended. */
    private static final class Steps implements Training.Trainer {
        private final int total;
        private final List<TrainEvent.StepEnd> steps = new ArrayList<>();
        private final CountDownLatch begun = new CountDownLatch(1);

        Steps(int total) {
            this.total = total;
        }

        @Override
        public TrainResult train(TrainListener listener) {
            listener.on(new TrainEvent.Started(total, steps.size() + 1, 10, 10, 10));
            boolean interrupted = false;
            while (steps.size() < total && !interrupted) {
                TrainEvent.StepEnd end = new TrainEvent.StepEnd(steps.size() + 1, 0, 2, 1, 1e-3, 10, 0.001, 100);
                steps.add(end);
                listener.on(end);
                begun.countDown();
                interrupted = Thread.interrupted();
            }
            listener.on(new TrainEvent.Saved(steps.size(), Path.of("x")));
            listener.on(new TrainEvent.Ended(steps.size(), interrupted, 1));
            return new TrainResult(steps, List.of(), interrupted);
        }
    }

    private Training start(Training.Trainer trainer) {
        return new Training(screen, "en", trainer, List.of(model), null).start();
    }

    @Test
    void whatIsStoppedGoesOn() throws Exception {
        Steps steps = new Steps(TOTAL);
        Training run = start(steps);
        assertTrue(steps.begun.await(20, TimeUnit.SECONDS));
        assertTrue(run.isRunning());
        assertFails(IllegalStateException.class, run::resume, "resume: the training of en runs; stop() ends it");
        run.stop();
        TrainResult first = run.await();
        assertTrue(first.interrupted() && !run.isRunning());
        assertTrue(run.text().contains("stopped: saved at step "), run.text());
        run.resume();
        run.stop();
        TrainResult second = run.await();
        assertTrue(second.steps().size() > first.steps().size(), first + ", then " + second);
        assertEquals(second, run.result());
    }

    @Test
    void whatIsFinishedDoesNotGoOn() throws Exception {
        Training run = start(new Steps(3));
        assertEquals(3, run.await().steps().size());
        run.stop();
        assertFails(IllegalStateException.class, run::resume, "resume: the training of en is finished, after 3 steps; result() has it");
        assertTrue(screen.shown().getLast().startsWith("last en [####################] 3/3 in 1.0 s"), screen.shown()::toString);
    }

    @Test
    void theModelIsRefusedToOthersMeanwhileAndToNobodyAfterwards() throws Exception {
        Steps steps = new Steps(TOTAL);
        Training run = start(steps);
        assertFails(IllegalStateException.class, () -> model.require("ask"),
                "ask: the model tiny is being trained in the background (en); wait for it with await(), end it with stop(), or use betweenSteps(...) of that training");
        assertFails(IllegalStateException.class, () -> start(new Steps(3)), "training: the model tiny is being trained in the background (en)");
        model.requireOpen("memory");
        String thread = run.betweenSteps(() -> {
            model.require("ask");
            return Thread.currentThread().getName();
        });
        assertEquals("training en", thread);
        run.stop();
        run.await();
        model.require("ask");
        assertEquals(Thread.currentThread().getName(), run.betweenSteps(() -> Thread.currentThread().getName()));
    }

    @Test
    void whatFailsBetweenStepsFailsThereAndTheTrainingGoesOn() throws Exception {
        Training run = start(new Steps(TOTAL));
        assertFails(IOException.class, () -> run.betweenSteps(() -> {
            throw new IOException("no such question");
        }), "no such question");
        assertTrue(run.isRunning());
        run.stop();
        run.await();
    }

    @Test
    void aTaskDoesNotTakeTheRequestToStop() throws Exception {
        Training run = start(new Steps(TOTAL));
        CountDownLatch inTask = new CountDownLatch(1);
        AtomicReference<Boolean> flag = new AtomicReference<>();
        Thread asks = Thread.ofPlatform().start(() -> assertDone(run, inTask, flag));
        assertTrue(inTask.await(20, TimeUnit.SECONDS));
        run.stop();
        asks.join();
        assertTrue(run.await().interrupted());
    }

    private static void assertDone(Training run, CountDownLatch inTask, AtomicReference<Boolean> flag) {
        try {
            run.betweenSteps(() -> {
                inTask.countDown();
                Thread.sleep(10);
                return flag.getAndSet(true);
            });
        } catch (Exception interrupted) {
            flag.set(false);
        }
    }

    @Test
    void anErrorReachesTheHandleAndTheDisplay() throws Exception {
        Training run = start(listener -> {
            listener.on(new TrainEvent.Started(5, 1, 10, 10, 10));
            throw new IOException("disk full: out/checkpoint-1");
        });
        assertEquals("disk full: out/checkpoint-1", assertThrows(IOException.class, run::await).getMessage());
        assertEquals("disk full: out/checkpoint-1", assertThrows(IOException.class, run::result).getMessage());
        assertEquals("last en [....................] 0/5, failed: disk full: out/checkpoint-1", screen.shown().getLast());
        model.require("ask");
        assertFalse(run.isRunning());
        assertThrows(IllegalArgumentException.class, start(listener -> {
            throw new IllegalArgumentException("does not fit");
        })::await);
    }

    @Test
    void waitingCanBeInterruptedAndTheTrainingGoesOn() throws Exception {
        Training run = start(new Steps(TOTAL));
        Thread.currentThread().interrupt();
        assertThrows(InterruptedException.class, run::await);
        assertTrue(run.isRunning());
        run.stop();
        assertTrue(run.await().interrupted());
    }
}
