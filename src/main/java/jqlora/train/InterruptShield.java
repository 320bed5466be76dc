package jqlora.train;

import java.io.IOException;
import java.nio.channels.ClosedByInterruptException;

/**
 * Lets file work come to its end although the thread is interrupted. Java closes the file that an interrupted thread reads or writes, so the flag is taken
 * down and kept here, and work that was hit is done again.
 */
final class InterruptShield {
    private boolean interrupted;

    /** Work on files that may be done twice. */
    @FunctionalInterface
    interface FileWork<T> {
        T run() throws IOException;
    }

    <T> T finish(FileWork<T> work) throws IOException {
        while (true) {
            try {
                takeFlag();
                return work.run();
            } catch (ClosedByInterruptException hit) {
                takeFlag();
            }
        }
    }

    /** Whether the thread was interrupted since this was made. */
    boolean interrupted() {
        takeFlag();
        return interrupted;
    }

    /** Sets the thread's flag again where it was taken down. */
    void giveBack() {
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private void takeFlag() {
        interrupted |= Thread.interrupted();
    }
}
