package jqlora.train;

import static jqlora.Assert.assertClose;
import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import jqlora.TinyModel;
import jqlora.data.BatchPlan;
import jqlora.data.TokenizedRow;
import jqlora.format.SafetensorsFile;
import jqlora.model.CausalLm;
import jqlora.model.LoadOptions;
import jqlora.ops.cpu.CpuOps;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What the loss of a step and of held-out rows is divided by, and how gradients are clipped. */
class LossTest {
    /** Sums in another order, in float32. */
    private static final double NOISE = 2e-6;
    private static final List<TokenizedRow> ROWS = TinyModel.rows(4, 30, 21);

    private static CpuOps ops;
    private static CausalLm model;

    @TempDir
    private Path folder;

    @BeforeAll
    static void open() throws IOException {
        ops = CpuOps.create();
        model = TinyModel.llama().open(ops, 1);
    }

    @AfterAll
    static void close() {
        model.close();
        assertEquals(0, ops.memory().bytesInUse(), "bytes in use after all models are closed");
        ops.close();
    }

    // ---- held-out rows

    private static HeldOutLoss of(TokenizedRow... rows) {
        return HeldOutLoss.of(model, List.of(rows));
    }

    @Test
    void everyTokenCountsTheSame() {
        HeldOutLoss all = HeldOutLoss.of(model, ROWS);
        double sum = 0;
        long tokens = 0;
        for (TokenizedRow row : ROWS) {
            sum += of(row).loss() * row.labelledTokens();
            tokens += row.labelledTokens();
        }
        assertEquals(tokens, all.tokens());
        assertClose("loss", all.loss(), sum / tokens, NOISE, 0);
        assertClose("perplexity", all.perplexity(), Math.exp(all.loss()), 1e-15, 0);
    }

    /** More tokens than go through the model at once, in any order, and rows that count nothing between them. */
    @Test
    void manyRowsInAnyOrder() {
        List<TokenizedRow> many = new ArrayList<>(TinyModel.rows(200, 30, 22));
        HeldOutLoss expected = HeldOutLoss.of(model, many);
        assertTrue(many.stream().mapToInt(TokenizedRow::length).sum() > 2048, "more than one part");
        many.add(7, new TokenizedRow(new int[] {5, 6, 7}, 3));
        many.add(0, new TokenizedRow(new int[] {5}, 0));
        HeldOutLoss reversed = HeldOutLoss.of(model, many.reversed());
        assertEquals(expected.tokens(), reversed.tokens());
        assertClose("loss", reversed.loss(), expected.loss(), NOISE, 0);
    }

    @Test
    void nothingToMeasure() {
        assertFails(IllegalArgumentException.class, () -> of(new TokenizedRow(new int[] {5, 6}, 2), new TokenizedRow(new int[] {5}, 0)),
                "held-out loss: 2 rows have no labelled token, there must be at least one");
        assertFails(IllegalArgumentException.class, () -> HeldOutLoss.of(model, List.of()), "held-out loss: 0 rows");
    }

    // ---- a step

    private TrainEvent.StepEnd firstStep(List<TokenizedRow> rows, BatchConfig batches, double maxGradNorm, Path output) throws IOException {
        try (CausalLm fresh = TinyModel.llama().open(ops, 1)) {
            SftConfig config = SftConfig.defaults().withMaxSteps(1).withBatches(batches).withOptimizer(OptimizerConfig.defaults().withMaxGradNorm(maxGradNorm));
            return new SftTrainer(new TrainedWeights.OfModel(fresh), rows, List.of(), config, output).train(TrainListener.SILENT).steps().getFirst();
        }
    }

    private static BatchConfig batches(int size, int accumulation, BatchConfig.Normalization normalization) {
        return new BatchConfig(size, accumulation, BatchPlan.Order.AS_GIVEN, normalization);
    }

    private static TokenizedRow labelledFrom(int length, int from) {
        return new TokenizedRow(IntStream.range(0, length).map(i -> (i * 37 + length) % 199).toArray(), from);
    }

    /** One batch of four rows, two of two, four of one: the same loss and the same gradients, since every token counts the same. */
    @Test
    void normalisedByTokensAWindowCanBeCutAnyhow() throws IOException {
        double expected = HeldOutLoss.of(model, ROWS).loss();
        double norm = firstStep(ROWS, batches(4, 1, BatchConfig.Normalization.TOKENS), 0, null).gradNorm();
        for (int size : new int[] {4, 2, 1}) {
            TrainEvent.StepEnd step = firstStep(ROWS, batches(size, 4 / size, BatchConfig.Normalization.TOKENS), 0, null);
            assertClose("loss with batches of " + size, step.loss(), expected, NOISE, 0);
            assertClose("gradient norm with batches of " + size, step.gradNorm(), norm, 1e-5, 0);
            assertEquals(ROWS.stream().mapToInt(TokenizedRow::length).sum(), step.tokens());
        }
    }

    /** qlora.py's rule: each micro-batch divided by its own tokens, then the mean, so the tokens of a short answer weigh more. */
    @Test
    void legacyIsTheMeanOfMeans() throws IOException {
        List<TokenizedRow> rows = List.of(labelledFrom(30, 2), labelledFrom(12, 11));
        double mean = (of(rows.get(0)).loss() + of(rows.get(1)).loss()) / 2, byTokens = HeldOutLoss.of(model, rows).loss();
        assertTrue(Math.abs(mean - byTokens) > 0.01, "the two rules differ on these rows: " + mean + " and " + byTokens);
        assertClose("legacy", firstStep(rows, batches(1, 2, BatchConfig.Normalization.LEGACY), 0, null).loss(), mean, NOISE, 0);
        assertClose("by tokens", firstStep(rows, batches(1, 2, BatchConfig.Normalization.TOKENS), 0, null).loss(), byTokens, NOISE, 0);
        assertClose("legacy in one batch", firstStep(rows, batches(2, 1, BatchConfig.Normalization.LEGACY), 0, null).loss(), byTokens, NOISE, 0);
    }

    /** A window at the end of an epoch with fewer micro-batches is divided by what it has. */
    @Test
    void aShortWindow() throws IOException {
        List<TokenizedRow> rows = ROWS.subList(0, 3);
        double mean = rows.stream().mapToDouble(row -> of(row).loss()).average().orElseThrow();
        assertClose("legacy", firstStep(rows, batches(1, 8, BatchConfig.Normalization.LEGACY), 0, null).loss(), mean, NOISE, 0);
        assertClose("by tokens", firstStep(rows, batches(1, 8, BatchConfig.Normalization.TOKENS), 0, null).loss(), HeldOutLoss.of(model, rows).loss(), NOISE, 0);
    }

    /** The reported norm is the one before clipping; after the first step the first moment is a tenth of the clipped gradient. */
    @Test
    void gradientsAreClippedToTheNorm() throws IOException {
        BatchConfig batches = batches(4, 1, BatchConfig.Normalization.TOKENS);
        double norm = firstStep(ROWS, batches, 0, folder.resolve("free")).gradNorm();
        double clip = norm / 3;
        assertEquals(norm, firstStep(ROWS, batches, clip, folder.resolve("clipped")).gradNorm(), "the norm before clipping");
        assertEquals(norm, firstStep(ROWS, batches, 2 * norm, folder.resolve("loose")).gradNorm());
        float[] free = firstMoment("free"), clipped = firstMoment("clipped"), loose = firstMoment("loose");
        double factor = clip / (norm + 1e-6);
        assertClose("clipped", clipped, toDoubles(free, factor), 1e-6, 1e-12);
        assertTrue(Arrays.equals(free, loose), "a norm below the limit leaves the gradients as they are");
    }

    private static double[] toDoubles(float[] values, double factor) {
        return IntStream.range(0, values.length).mapToDouble(i -> values[i] * factor).toArray();
    }

    private float[] firstMoment(String output) throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve(output).resolve("checkpoint-1/optimizer.safetensors"))) {
            return file.get("exp_avg.model.layers.0.self_attn.q_proj.weight").toFloats();
        }
    }

    // ---- runs that cannot be

    @Test
    void nothingToTrain() throws IOException {
        List<TokenizedRow> unlabelled = List.of(new TokenizedRow(new int[] {5, 6}, 2));
        assertFails(IllegalArgumentException.class, () -> new SftTrainer(new TrainedWeights.OfModel(model), unlabelled, List.of(), SftConfig.defaults(), null),
                "training: none of 1 rows has a labelled token, there must be at least one");
        try (CausalLm frozen = SmallRun.model(ops, LoadOptions.asStored())) {
            assertFails(IllegalArgumentException.class, () -> new SftTrainer(new TrainedWeights.OfModel(frozen), ROWS, List.of(), SftConfig.defaults(), null),
                    "training: the weights have no gradients");
        }
    }
}
