package jqlora.data;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import java.util.stream.IntStream;

/**
 * Which rows go into which batch: a function of the seed and the epoch alone, so a run that goes on from a checkpoint sees the batches that it
 * would have seen.
 *
 * @param batchSize rows of a batch; the last of an epoch may have fewer
 * @param window batches that one optimizer step takes
 * @param order how rows are put in order
 */
public record BatchPlan(int batchSize, int window, Order order, long seed) {
    /** The order of rows in an epoch. */
    public enum Order {
        /** As in the data set. */
        AS_GIVEN,
        /** Shuffled. */
        SHUFFLED,
        /**
         * Shuffled, then within stretches of up to 50 steps from long to short, so that the rows of a batch have like lengths; the longest row of
         * all comes first, so that what does not fit fails at once.
         *
         * @see <a href="https://github.com/huggingface/transformers/blob/v5.17.0/src/transformers/trainer_pt_utils.py">transformers, get_length_grouped_indices</a>
         */
        GROUPED_BY_LENGTH
    }

    private static final int LONGEST_STRETCH = 50;

    public BatchPlan {
        if (batchSize < 1 || window < 1) {
            throw new IllegalArgumentException("batch plan: batchSize " + batchSize + " and window " + window + " must be at least 1");
        }
    }

    /** Batches of an epoch over {@code rows} rows. */
    public int batches(int rows) {
        return Math.ceilDiv(rows, batchSize);
    }

    /**
     * The batches of epoch {@code epoch}, from 0, as indices of rows.
     *
     * @param lengths tokens of each row
     */
    public List<List<Integer>> epoch(int epoch, int[] lengths) {
        List<Integer> order = new ArrayList<>(IntStream.range(0, lengths.length).boxed().toList());
        if (order() != Order.AS_GIVEN) {
            RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(seed + epoch);
            Collections.shuffle(order, random);
            if (order() == Order.GROUPED_BY_LENGTH && lengths.length > 0) {
                order = grouped(order, lengths);
            }
        }
        List<List<Integer>> batches = new ArrayList<>();
        for (int from = 0; from < order.size(); from += batchSize) {
            batches.add(List.copyOf(order.subList(from, Math.min(order.size(), from + batchSize))));
        }
        return batches;
    }

    private List<Integer> grouped(List<Integer> shuffled, int[] lengths) {
        int rowsPerStep = batchSize * window;
        int stretch = Math.max(1, Math.min(shuffled.size() / (rowsPerStep * 4), LONGEST_STRETCH)) * rowsPerStep;
        List<Integer> order = new ArrayList<>();
        for (int from = 0; from < shuffled.size(); from += stretch) {
            List<Integer> part = new ArrayList<>(shuffled.subList(from, Math.min(shuffled.size(), from + stretch)));
            part.sort(Comparator.comparingInt((Integer row) -> lengths[row]).reversed());
            order.addAll(part);
        }
        int longest = Arrays.stream(lengths).max().orElse(0);
        int at = IntStream.range(0, order.size()).filter(i -> lengths[order.get(i)] == longest).findFirst().orElse(0);
        Collections.swap(order, 0, at);
        return order;
    }
}
