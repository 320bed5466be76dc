package jqlora.notebook;

import java.io.IOException;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import jqlora.model.ModelUse;
import jqlora.ops.Ops;
import jqlora.train.TrainEvent;
import jqlora.train.TrainListener;
import jqlora.train.TrainResult;

/**
 * A training that runs beside the notebook, with its output under the cell that started it. The model belongs to it meanwhile: what another cell wants of it
 * is refused, with a message that names this training; {@link #betweenSteps} asks the model all the same.
 */
public final class Training implements Displayable {
    /** What trains; an interrupt of the thread ends it after a step, saved, and a further call goes on from there. */
    @FunctionalInterface
    interface Trainer {
        TrainResult train(TrainListener listener) throws IOException;
    }

    private static final String WAY_OUT = "wait for it with await(), end it with stop(), or use betweenSteps(...) of that training";

    private final Screen screen;
    private final String label;
    private final Trainer trainer;
    private final List<ModelUse> uses;
    private final Ops ops;
    private final Queue<FutureTask<?>> tasks = new ConcurrentLinkedQueue<>();
    private Thread thread;
    private boolean stopping;
    private boolean inTask;
    private CountDownLatch ended;
    private TrainingView view;
    private TrainResult result;
    private Throwable failure;

    /** @param uses what nobody else may use while this trains */
    Training(Screen screen, String label, Trainer trainer, List<ModelUse> uses, Ops ops) {
        this.screen = screen;
        this.label = label;
        this.trainer = trainer;
        this.uses = List.copyOf(uses);
        this.ops = ops;
    }

    synchronized Training start() {
        TrainingView next = new TrainingView(screen, label, ops, System::nanoTime);
        if (result != null) {
            next.after(result);
        }
        CountDownLatch latch = new CountDownLatch(1);
        Thread trains = Thread.ofPlatform().daemon().name("training " + label).unstarted(() -> train(next, latch));
        for (int lent = 0; lent < uses.size(); lent++) {
            try {
                uses.get(lent).lend(trains, "being trained in the background (" + label + ")", WAY_OUT);
            } catch (IllegalStateException taken) {
                uses.subList(0, lent).forEach(ModelUse::giveBack);
                throw taken;
            }
        }
        view = next;
        ended = latch;
        thread = trains;
        stopping = false;
        result = null;
        failure = null;
        trains.start();
        return this;
    }

    private void train(TrainingView shown, CountDownLatch latch) {
        TrainResult got = null;
        Throwable error = null;
        try {
            got = trainer.train(shown.and(this::betweenTwoSteps));
        } catch (IOException | RuntimeException | Error failed) {
            error = failed;
        }
        Thread.interrupted();                                     // the request to stop was heard, or came too late
        if (error != null) {
            shown.failed(error);
        }
        synchronized (this) {
            result = got;
            failure = error;
            thread = null;
            stopping = false;
            uses.forEach(ModelUse::giveBack);
        }
        latch.countDown();
        runTasks();
    }

    private void betweenTwoSteps(TrainEvent event) {
        if (event instanceof TrainEvent.StepEnd) {
            runTasks();
        }
    }

    private void runTasks() {
        synchronized (this) {
            inTask = true;                                        // a request to stop is not meant for the task
            Thread.interrupted();
        }
        for (FutureTask<?> task; (task = tasks.poll()) != null; ) {
            task.run();
        }
        synchronized (this) {
            inTask = false;
            if (stopping) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /** Whether it trains now. */
    public synchronized boolean isRunning() {
        return thread != null;
    }

    /** Ends the training after the step that it is in, with a checkpoint. Returns at once; {@link #await} waits for it. Does nothing where it has ended. */
    public synchronized void stop() {
        if (thread != null) {
            stopping = true;
            if (!inTask) {
                thread.interrupt();
            }
        }
    }

    /**
     * Waits for the end, and returns the result; what was stopped has steps left. Interrupting the cell that waits does not end the training.
     *
     * @throws IOException if a checkpoint could not be written or read, or the training could not go on
     */
    public TrainResult await() throws IOException, InterruptedException {
        CountDownLatch latch;
        synchronized (this) {
            latch = ended;
        }
        latch.await();
        return result();
    }

    /**
     * What there is, without waiting: the whole result after the end, the steps so far before.
     *
     * @throws IOException if the training has failed for such a reason
     */
    public synchronized TrainResult result() throws IOException {
        switch (failure) {
            case null -> { }
            case IOException broken -> throw broken;
            case RuntimeException broken -> throw broken;
            case Error broken -> throw broken;
            default -> throw new AssertionError("nothing else is caught", failure);
        }
        return result == null ? view.soFar() : result;
    }

    /**
     * Goes on after {@link #stop}, or after a failure from the newest checkpoint; shown under the cell that calls this.
     *
     * @throws IllegalStateException if it runs, or is finished
     */
    public synchronized Training resume() {
        if (thread != null) {
            throw new IllegalStateException("resume: the training of " + label + " runs; stop() ends it");
        }
        if (failure == null && result != null && !result.interrupted()) {
            throw new IllegalStateException("resume: the training of " + label + " is finished, after " + result.steps().size() + " steps; result() has it");
        }
        return start();
    }

    /**
     * Computes something with the model between two steps of the training, which waits meanwhile; such as {@code run.betweenSteps(() -> model.ask("..."))}.
     * At once where nothing is trained any more.
     *
     * @throws Exception what {@code task} throws
     */
    public <T> T betweenSteps(Callable<T> task) throws Exception {
        FutureTask<T> future = new FutureTask<>(task);
        synchronized (this) {
            if (thread != null && thread != Thread.currentThread()) {
                tasks.add(future);
            } else {
                future = null;
            }
        }
        if (future == null) {
            return task.call();
        }
        try {
            return future.get();
        } catch (ExecutionException failed) {
            switch (failed.getCause()) {
                case Exception thrown -> throw thrown;
                case Error thrown -> throw thrown;
                default -> throw failed;
            }
        }
    }

    @Override
    public String text() {
        return shown().text();
    }

    @Override
    public String html() {
        return shown().html();
    }

    private synchronized TrainingView shown() {
        return view;
    }

    /** Such as {@code en-wiki-questions [####................] 51/244 (20%), about 2:05 left, loss 3.401}. */
    @Override
    public String toString() {
        return text();
    }
}
