package jqlora.cli;

import java.util.concurrent.CountDownLatch;

/**
 * Ctrl-C, or another request to end the process, while there is something to save: the thread that made this is interrupted, and the
 * process ends when it has closed this. Java then exits with 128 and the signal's number, 130 for Ctrl-C.
 */
final class StopSignal implements AutoCloseable {
    private final Thread working = Thread.currentThread();
    private final CountDownLatch saved = new CountDownLatch(1);
    private final Runnable told;
    private final Thread hook = new Thread(this::stop, "stop");

    /** @param told runs when the request has come, before the work has ended */
    StopSignal(Runnable told) {
        this.told = told;
        Runtime.getRuntime().addShutdownHook(hook);
    }

    private void stop() {
        told.run();
        working.interrupt();
        try {
            saved.await();
        } catch (InterruptedException ended) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public void close() {
        saved.countDown();
        try {
            Runtime.getRuntime().removeShutdownHook(hook);
        } catch (IllegalStateException ending) {
            return;                                               // the process ends: the hook runs, and has been told
        }
    }
}
