package jqlora.ops;

import jqlora.tensor.Tensor;

/**
 * Operations that are done several times, the same ones on the same tensors, while the host follows what they do to one of them. A backend may do
 * them before they are asked for, and keep what it learns the first time. To be closed before the tensors.
 */
public interface Repetition extends AutoCloseable {
    /**
     * The watched tensor's elements after the next time.
     *
     * @throws IllegalStateException if there is no next time
     */
    int[] next();

    /** Gives back what the repetition holds; the operations may have been done more often than they were asked for. */
    @Override
    void close();

    /** @throws IllegalStateException if {@code done} is {@code times} */
    static void requireNext(int done, int times) {
        if (done >= times) {
            throw new IllegalStateException("repetition: the operations were done " + done + " times, at most " + times + " were wanted");
        }
    }

    /** Does the operations when they are asked for. */
    static Repetition whenAsked(Store ops, int times, Tensor watched, Runnable operations) {
        return new Repetition() {
            private int done;

            @Override
            public int[] next() {
                requireNext(done++, times);
                operations.run();
                return ops.download(watched).toInts();
            }

            @Override
            public void close() { }
        };
    }
}
