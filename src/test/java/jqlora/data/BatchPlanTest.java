package jqlora.data;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class BatchPlanTest {
    private static int[] lengths(int rows) {
        return new Random(rows).ints(rows, 1, 500).toArray();
    }

    private static List<Integer> flat(List<List<Integer>> batches) {
        return batches.stream().flatMap(List::stream).toList();
    }

    /** Whatever the sizes, each epoch has every row once, in full batches but for the last. */
    @ParameterizedTest
    @EnumSource
    void everyRowOnce(BatchPlan.Order order) {
        for (int rows : new int[] {0, 1, 2, 7, 64, 1001}) {
            for (int batchSize : new int[] {1, 3, 8}) {
                for (int window : new int[] {1, 4}) {
                    BatchPlan plan = new BatchPlan(batchSize, window, order, 5);
                    for (int epoch = 0; epoch < 3; epoch++) {
                        List<List<Integer>> batches = plan.epoch(epoch, lengths(rows));
                        assertEquals(plan.batches(rows), batches.size());
                        assertEquals(IntStream.range(0, rows).boxed().toList(), flat(batches).stream().sorted().toList(), rows + " rows in batches of " + batchSize);
                        assertTrue(batches.stream().limit(Math.max(0, batches.size() - 1)).allMatch(batch -> batch.size() == batchSize));
                    }
                }
            }
        }
    }

    /** A plan is a function of seed and epoch; both change it, but not an order that is given. */
    @ParameterizedTest
    @EnumSource
    void repeatable(BatchPlan.Order order) {
        int[] lengths = lengths(200);
        BatchPlan plan = new BatchPlan(4, 2, order, 5);
        assertEquals(plan.epoch(3, lengths), new BatchPlan(4, 2, order, 5).epoch(3, lengths));
        if (order == BatchPlan.Order.AS_GIVEN) {
            assertEquals(IntStream.range(0, 200).boxed().toList(), flat(plan.epoch(3, lengths)));
        } else {
            assertNotEquals(plan.epoch(3, lengths), plan.epoch(4, lengths), "another epoch");
            assertNotEquals(plan.epoch(3, lengths), new BatchPlan(4, 2, order, 6).epoch(3, lengths), "another seed");
        }
    }

    /** Sorted within stretches of whole steps, at most 50 of them and at least four stretches where there are rows enough; the longest of all first. */
    @Test
    void groupedByLength() {
        for (int rows : new int[] {5, 100, 3001}) {
            int[] lengths = lengths(rows);
            BatchPlan plan = new BatchPlan(4, 2, BatchPlan.Order.GROUPED_BY_LENGTH, 5);
            List<Integer> order = flat(plan.epoch(1, lengths));
            assertEquals(Arrays.stream(lengths).max().orElseThrow(), lengths[order.getFirst()], "the longest comes first");
            int stretch = Math.max(1, Math.min(rows / 32, 50)) * 8, descents = 0;
            for (int i = 2; i < rows; i++) {
                descents += lengths[order.get(i)] > lengths[order.get(i - 1)] ? 1 : 0;
            }
            // one rise a stretch, and two beside the place from which the longest was taken
            assertTrue(descents <= Math.ceilDiv(rows, stretch) - 1 + 2, descents + " rises in " + rows + " rows");
        }
    }

    /** The rows of a step are alike: their lengths differ far less than in a shuffled order. */
    @Test
    void groupingMakesStepsOfLikeLengths() {
        int[] lengths = lengths(3000);
        double grouped = meanRange(new BatchPlan(4, 1, BatchPlan.Order.GROUPED_BY_LENGTH, 5), lengths), shuffled = meanRange(new BatchPlan(4, 1, BatchPlan.Order.SHUFFLED, 5), lengths);
        assertTrue(grouped < shuffled / 10, "mean range of lengths in a batch: " + grouped + ", shuffled " + shuffled);
    }

    private static double meanRange(BatchPlan plan, int[] lengths) {
        return plan.epoch(0, lengths).stream().mapToInt(batch -> {
            int[] of = batch.stream().mapToInt(row -> lengths[row]).sorted().toArray();
            return of[of.length - 1] - of[0];
        }).average().orElseThrow();
    }

    // ---- batches and rows

    @Test
    void aBatchIsItsRowsOneAfterTheOther() {
        Batch batch = Batch.of(List.of(new TokenizedRow(new int[] {5, 6, 7}, 2), new TokenizedRow(new int[] {8}, 0), new TokenizedRow(new int[] {9, 10}, 2)));
        assertArrayEquals(new int[] {5, 6, 7, 8, 9, 10}, batch.inputIds());
        assertArrayEquals(new int[] {-100, -100, 7, 8, -100, -100}, batch.labels());
        assertArrayEquals(new int[] {3, 1, 2}, batch.lengths());
        assertFails(IllegalArgumentException.class, () -> Batch.of(List.of()), "batch: there are no rows");
    }

    /** The first token of a sequence is never predicted, so it is not counted though it has a label. */
    @Test
    void labelledTokens() {
        assertEquals(2, new TokenizedRow(new int[] {5, 6, 7}, 0).labelledTokens());
        assertEquals(2, new TokenizedRow(new int[] {5, 6, 7}, 1).labelledTokens());
        assertEquals(0, new TokenizedRow(new int[] {5, 6, 7}, 3).labelledTokens());
        assertEquals(0, new TokenizedRow(new int[] {5}, 0).labelledTokens());
        for (int from : new int[] {-1, 4}) {
            assertFails(IllegalArgumentException.class, () -> new TokenizedRow(new int[] {5, 6, 7}, from), "row of 3 tokens: labels from " + from + " on must lie within it");
        }
        assertFails(IllegalArgumentException.class, () -> new TokenizedRow(new int[0], 0), "row of 0 tokens");
    }

    @Test
    void rowsKeepTheirOwnNumbers() {
        int[] ids = {5, 6, 7};
        TokenizedRow row = new TokenizedRow(ids, 1);
        ids[0] = 9;
        row.ids()[1] = 9;
        row.labels()[2] = 9;
        assertEquals(new TokenizedRow(new int[] {5, 6, 7}, 1), row);
        assertNotEquals(new TokenizedRow(new int[] {5, 6, 7}, 2), row);
    }
}
