package jqlora.ops.cpu;

import jqlora.tensor.Processors;

/**
 * How the processor is used.
 *
 * @param threads how many threads compute, 1 to {@value #MOST_THREADS}; 0 for as many as the processors that this process may use, a
 *     container's limit included. The results are the same bits with any number
 */
public record CpuOptions(int threads) {
    /** More than any machine has processors. */
    public static final int MOST_THREADS = 4096;

    public CpuOptions {
        if (threads < 0 || threads > MOST_THREADS) {
            throw new IllegalArgumentException("CPU: threads is " + threads + ", it must be 1 to " + MOST_THREADS + ", or 0 for one for each processor");
        }
    }

    /** As many threads as there are processors. */
    public static CpuOptions defaults() {
        return new CpuOptions(0);
    }

    /**
     * Reads a number of threads, 1 to {@value #MOST_THREADS}.
     *
     * @param from who names it, for the error
     * @throws IllegalArgumentException for anything else
     */
    public static CpuOptions ofThreads(String from, String text) {
        if (!text.matches("0*[1-9][0-9]{0,3}") || Integer.parseInt(text) > MOST_THREADS) {
            throw new IllegalArgumentException(from + " is \"" + text + "\", it must be a number of threads, 1 to " + MOST_THREADS + "; without it there is one for each processor");
        }
        return new CpuOptions(Integer.parseInt(text));
    }

    public CpuOptions withThreads(int threads) {
        return new CpuOptions(threads);
    }

    /** The number of threads on {@code processors}. */
    public int threadsOn(Processors processors) {
        return threads == 0 ? processors.threads() : threads;
    }
}
