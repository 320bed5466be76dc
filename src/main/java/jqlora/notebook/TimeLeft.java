package jqlora.notebook;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.OptionalDouble;

/**
 * How long the rest of a run will take. The first steps of a run are slow, since Java compiles what it runs while it runs it, and the longest rows may come
 * first: they do not count, and nothing is said before a few steps and seconds have been seen. An estimate is the middle one of the last steps, and as many
 * evaluations as there were so far for each step.
 */
public final class TimeLeft {
    private static final int WARM_UP = 2, FEWEST = 3, WINDOW = 25;
    private static final double FEWEST_SECONDS = 2;

    private final Deque<Double> steps = new ArrayDeque<>();
    private int seen;
    private double counted;
    private double evaluationSeconds;
    private int evaluations;

    /** A step has ended. */
    public void step(double seconds) {
        if (++seen <= WARM_UP) {
            return;
        }
        counted += seconds;
        steps.addLast(seconds);
        if (steps.size() > WINDOW) {
            steps.removeFirst();
        }
    }

    /** An evaluation has ended; the one before the first step does not come again. */
    public void evaluation(double seconds) {
        if (seen > 0) {
            evaluations++;
            evaluationSeconds = seconds;
        }
    }

    /** Seconds for {@code remaining} steps; empty as long as nothing sensible can be said. */
    public OptionalDouble seconds(long remaining) {
        if (steps.size() < FEWEST || counted < FEWEST_SECONDS && seen < WARM_UP + WINDOW) {
            return OptionalDouble.empty();
        }
        double[] sorted = steps.stream().mapToDouble(Double::doubleValue).sorted().toArray();
        double evaluating = remaining * (double) evaluations / seen * evaluationSeconds;
        return OptionalDouble.of(remaining * sorted[sorted.length / 2] + evaluating);
    }
}
