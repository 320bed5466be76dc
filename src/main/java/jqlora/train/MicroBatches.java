package jqlora.train;

import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.function.ToLongFunction;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import jqlora.data.Batch;
import jqlora.data.TokenizedRow;
import jqlora.model.TokenBatch;

/** Which rows go through the model together, step by step. */
final class MicroBatches {
    private final List<TokenizedRow> rows;
    private final SftConfig config;
    private int plannedEpoch = -1;
    private List<List<Integer>> plan = List.of();

    /** @param rows to train on, each with a labelled token */
    MicroBatches(List<TokenizedRow> rows, SftConfig config) {
        this.rows = rows;
        this.config = config;
    }

    int stepsPerEpoch() {
        return config.stepsPerEpoch(rows.size());
    }

    /** The micro-batches of {@code step}, from 1. */
    List<TokenBatch> of(int step) {
        int epoch = (step - 1) / stepsPerEpoch(), index = (step - 1) % stepsPerEpoch();
        int window = config.batches().gradientAccumulationSteps();
        if (epoch != plannedEpoch) {
            plan = epoch(epoch);
            plannedEpoch = epoch;
        }
        return plan.subList(index * window, Math.min(plan.size(), (index + 1) * window)).stream().map(this::tokenBatch).toList();
    }

    /** The micro-batches of the run with the most tokens, and with the most when all rows are as long as their longest one. */
    List<TokenBatch> largest(int totalSteps) {
        List<List<Integer>> batches = IntStream.range(0, Math.ceilDiv(totalSteps, stepsPerEpoch())).boxed()
                .flatMap(epoch -> epoch(epoch).stream()).toList();
        ToLongFunction<List<Integer>> tokens = batch -> batch.stream().mapToLong(row -> rows.get(row).length()).sum();
        ToLongFunction<List<Integer>> padded = batch -> (long) batch.size()
                * batch.stream().mapToInt(row -> rows.get(row).length()).max().orElse(0);
        return Stream.of(tokens, padded).map(size -> Collections.max(batches, Comparator.comparingLong(size)))
                .distinct().map(this::tokenBatch).toList();
    }

    private List<List<Integer>> epoch(int epoch) {
        return config.batches().plan(config.seed()).epoch(epoch, rows.stream().mapToInt(TokenizedRow::length).toArray());
    }

    private TokenBatch tokenBatch(List<Integer> batch) {
        return HeldOutLoss.tokenBatch(Batch.of(batch.stream().map(rows::get).toList()));
    }

    /** A key of its own for each micro-batch of the run; never 0, which means no dropout. */
    long dropoutKey(int step, int microBatch) {
        long mixed = config.seed() * 0x9E3779B97F4A7C15L + step * 0xBF58476D1CE4E5B9L + microBatch * 0x94D049BB133111EBL;
        mixed = (mixed ^ mixed >>> 31) * 0xD6E8FEB86659FD93L;
        return (mixed ^ mixed >>> 32) | 1;
    }
}
