package jqlora.train;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import jqlora.data.Batch;
import jqlora.data.TokenizedRow;
import jqlora.model.CausalLm;
import jqlora.model.TokenBatch;
import jqlora.ops.Sequences;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;

/**
 * The loss on rows that are not trained on.
 *
 * @param loss mean -log p over all labelled tokens of all rows together
 * @param tokens labelled tokens
 */
public record HeldOutLoss(double loss, long tokens) {
    private static final int TOKENS_AT_ONCE = 2048;

    /** exp(loss): among how many equally likely tokens the model is, on average, undecided. */
    public double perplexity() {
        return Math.exp(loss);
    }

    /**
     * The loss of {@code model}, with whatever adapter is in force, dropout off.
     *
     * @throws IllegalArgumentException if no token is labelled, or a token of a row is not in the model's embedding
     */
    public static HeldOutLoss of(CausalLm model, List<TokenizedRow> rows) {
        return unless(() -> false, model, rows).orElseThrow();
    }

    /** As {@link #of}, ended without a result as soon as {@code stop} is true: it is asked before each {@value #TOKENS_AT_ONCE} tokens or so. */
    static Optional<HeldOutLoss> unless(BooleanSupplier stop, CausalLm model, List<TokenizedRow> rows) {
        long tokens = rows.stream().mapToLong(TokenizedRow::labelledTokens).sum();
        if (tokens == 0) {
            throw new IllegalArgumentException("held-out loss: " + rows.size() + " rows have no labelled token, there must be at least one");
        }
        RowCheck.requireTokens(model, "held-out rows", rows);
        double loss = 0;
        try (Tensor sum = model.ops().zeros(DType.F64, 1)) {
            for (List<TokenizedRow> part : parts(rows)) {
                if (stop.getAsBoolean()) {
                    return Optional.empty();
                }
                model.loss(tokenBatch(Batch.of(part)), sum);
                loss = model.ops().download(sum).data().get(TensorView.DOUBLE, 0) / tokens;      // a GPU is waited for, so that a stop is heard in time
            }
            return Optional.of(new HeldOutLoss(loss, tokens));
        }
    }

    private static List<List<TokenizedRow>> parts(List<TokenizedRow> rows) {
        List<TokenizedRow> sorted = rows.stream().filter(row -> row.labelledTokens() > 0).sorted(Comparator.comparingInt(TokenizedRow::length)).toList();
        List<List<TokenizedRow>> parts = new ArrayList<>();
        List<TokenizedRow> part = new ArrayList<>();
        int tokens = 0;
        for (TokenizedRow row : sorted) {
            if (!part.isEmpty() && tokens + row.length() > TOKENS_AT_ONCE) {
                parts.add(part);
                part = new ArrayList<>();
                tokens = 0;
            }
            part.add(row);
            tokens += row.length();
        }
        parts.add(part);
        return parts;
    }

    /** {@code batch} as the model takes it. */
    static TokenBatch tokenBatch(Batch batch) {
        return TokenBatch.of(batch.inputIds(), batch.labels(), Sequences.ofLengths(batch.lengths()));
    }
}
