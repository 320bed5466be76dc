package jqlora.notebook;

import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/**
 * The one thread that draws what replaces itself. Who computes must not draw: Java's graphics take down the flag of an interrupted thread when they load a
 * font, and a picture takes as long as a step of a small model.
 */
final class DrawingThread {
    private static final String NAME = "notebook-drawing";
    private static final ScheduledExecutorService THREAD = Executors.newSingleThreadScheduledExecutor(Thread.ofPlatform().daemon().name(NAME).factory());

    private DrawingThread() { }

    /** Runs {@code drawing} there after a while. */
    static void later(long nanos, Runnable drawing) {
        THREAD.schedule(drawing, nanos, TimeUnit.NANOSECONDS);
    }

    /** Runs {@code drawing} there and returns when it is done, interrupted or not; the caller's flag stays as it is. */
    static void now(Runnable drawing) {
        if (Thread.currentThread().getName().equals(NAME)) {
            drawing.run();
            return;
        }
        Future<?> done = THREAD.submit(drawing);
        boolean interrupted = false;
        while (true) {
            try {
                done.get();
                break;
            } catch (InterruptedException meanwhile) {
                interrupted = true;
            } catch (ExecutionException failed) {
                throw new IllegalStateException("drawing failed", failed.getCause());
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
