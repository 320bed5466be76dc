package jqlora.ops;

import java.util.Arrays;
import java.util.stream.IntStream;

/** How the next token is chosen from the scores. */
public sealed interface Sampler {
    /** The highest score; of equal ones the token with the lowest id. */
    record Greedy() implements Sampler { }

    /**
     * At random by the softmax of scores / temperature, among the topK highest and, of these, the fewest whose probabilities reach topP.
     *
     * @param temperature above 0; below 1 sharpens
     * @param topK tokens that stay; 0 for all
     * @param topP share of the probability that stays, in (0, 1]
     * @see <a href="https://arxiv.org/abs/1904.09751">The curious case of neural text degeneration (nucleus sampling)</a>
     */
    record Random(double temperature, int topK, double topP) implements Sampler {
        public Random {
            if (!(temperature > 0) || topK < 0 || !(topP > 0 && topP <= 1)) {
                throw new IllegalArgumentException("sampling: temperature " + temperature + ", topK " + topK + ", topP " + topP + " must be positive, at least 0 and in (0, 1]");
            }
        }
    }

    /**
     * The id of the next token.
     *
     * @param uniform a random number in [0, 1), which decides; greedy needs none
     */
    default int next(float[] scores, double uniform) {
        return switch (this) {
            case Greedy() -> argmax(scores);
            case Random settings -> draw(warped(scores, settings), uniform);
        };
    }

    private static int argmax(float[] scores) {
        int best = 0;
        for (int i = 1; i < scores.length; i++) {
            best = scores[i] > scores[best] ? i : best;
        }
        return best;
    }

    /** The scores with those that are out set to minus infinity, in transformers' order: temperature, top k, top p. */
    static float[] warped(float[] scores, Random settings) {
        float[] warped = scores.clone();
        for (int i = 0; i < warped.length; i++) {
            warped[i] = (float) (warped[i] / settings.temperature());
        }
        Integer[] descending = IntStream.range(0, warped.length).boxed().toArray(Integer[]::new);
        Arrays.sort(descending, (a, b) -> Float.compare(warped[b], warped[a]));
        if (settings.topK() > 0 && settings.topK() < warped.length) {
            float lowest = warped[descending[settings.topK() - 1]];
            for (int i = 0; i < warped.length; i++) {
                warped[i] = warped[i] < lowest ? Float.NEGATIVE_INFINITY : warped[i];
            }
        }
        if (settings.topP() < 1) {
            double[] probabilities = softmax(warped);
            double reached = 0;
            for (int rank = 0; rank < descending.length; rank++) {
                int token = descending[rank];
                if (rank > 0 && reached >= settings.topP()) {
                    warped[token] = Float.NEGATIVE_INFINITY;
                }
                reached += probabilities[token];
            }
        }
        return warped;
    }

    private static double[] softmax(float[] scores) {
        double max = Double.NEGATIVE_INFINITY, sum = 0;
        for (float score : scores) {
            max = Math.max(max, score);
        }
        double[] probabilities = new double[scores.length];
        for (int i = 0; i < scores.length; i++) {
            probabilities[i] = Math.exp(scores[i] - max);
            sum += probabilities[i];
        }
        for (int i = 0; i < scores.length; i++) {
            probabilities[i] /= sum;
        }
        return probabilities;
    }

    private static int draw(float[] warped, double uniform) {
        double[] probabilities = softmax(warped);
        double left = uniform;
        int last = 0;
        for (int i = 0; i < probabilities.length; i++) {
            if (probabilities[i] > 0) {
                last = i;
                left -= probabilities[i];
                if (left < 0) {
                    return i;
                }
            }
        }
        return last;
    }
}
