package jqlora.notebook;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import jqlora.TinyModel;
import jqlora.data.BatchPlan;
import jqlora.data.InstructionRow;
import jqlora.data.InstructionSet;
import jqlora.data.TokenizedRow;
import jqlora.data.TokenizedSet;
import jqlora.data.UnreadColumns;
import jqlora.evaluate.MergeReport;
import jqlora.experiment.GridCell;
import jqlora.experiment.GridResult;
import jqlora.experiment.TargetPlan;
import jqlora.generate.GenerationConfig;
import jqlora.inspect.AdapterComparison;
import jqlora.inspect.CheckpointDiff;
import jqlora.inspect.CodeFlips;
import jqlora.inspect.Spectrum;
import jqlora.inspect.TokenLengths;
import jqlora.inspect.UpdateSizes;
import jqlora.lora.LoraAdapter;
import jqlora.lora.LoraConfig;
import jqlora.lora.MergeRoute;
import jqlora.lora.TargetModules;
import jqlora.lora.TargetTable;
import jqlora.model.ActivationBudget;
import jqlora.model.CausalLm;
import jqlora.model.LoadOptions;
import jqlora.model.MemoryReport;
import jqlora.ops.MemoryUse;
import jqlora.ops.cpu.CpuOps;
import jqlora.quant.FourBitFormat;
import jqlora.quant.FourBitType;
import jqlora.quant.PlainFourBitCodec;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.DType;
import jqlora.tensor.TensorView;
import jqlora.train.BatchConfig;
import jqlora.train.HeldOutLoss;
import jqlora.train.LearningRate;
import jqlora.train.Optim;
import jqlora.train.SftConfig;
import jqlora.train.TrainEvent;
import jqlora.train.TrainResult;
import org.junit.jupiter.api.Test;

class ValueViewsTest {
    private static final UnreadColumns NOTHING_UNREAD = new UnreadColumns(Map.of());

    private static final Pattern NOT_EVERYWHERE = Pattern.compile("<(script|style|iframe|svg|link)|\\son\\w+=|\\sid=");

    private static String text(Object value) {
        Rendered shown = Rendered.of(value);
        shown.html().ifPresent(html -> {
            assertFalse(NOT_EVERYWHERE.matcher(html).find(), html);
            assertEquals(count(html, "<table"), count(html, "overflow-x:auto\"><table"), "a wide table scrolls by itself: " + html);
        });
        return shown.text();
    }

    private static int count(String text, String part) {
        return (text.length() - text.replace(part, "").length()) / part.length();
    }

    @Test
    void aConfigurationMarksWhatDiffersFromTheDefaults() {
        assertEquals("""
                LoraConfig     value
                -------------  ----------------
                r              16 (default 64)
                loraAlpha      16
                loraDropout    0 (default 0.1)
                useRslora      no
                targetModules  q_proj, v_proj (default all-linear)
                limits         none
                patterns       none
                3 of 7 differ from the defaults""".replace("----------------\n", "-----------------------------------\n"),
                text(LoraConfig.defaults().withR(16).withLoraDropout(0).withTargetModules("q_proj", "v_proj")));
        String html = Rendered.of(LoraConfig.defaults().withR(16)).html().orElseThrow();
        assertTrue(html.contains("<b>16</b> <small>(default 64)</small>") && html.contains("1 of 7 differ from the defaults"), html);
        assertTrue(text(SftConfig.defaults()).endsWith("all as in the defaults"));
        String sft = text(SftConfig.defaults().withBatchSize(8).withLearningRate(new LearningRate(LearningRate.Type.COSINE, 2e-3, 20)));
        assertTrue(sft.contains("batches.perDeviceTrainBatchSize    8 (default 1)") && sft.contains("learningRate.type                  COSINE (default CONSTANT)"), sft);
        assertTrue(text(GenerationConfig.defaults().withSampling(0.7, 50, 0.9)).contains("sampler.temperature  0.7 (not in the defaults)"));
        assertTrue(text(LoadOptions.asStored()).contains("quantization  not set (default nf4"), text(LoadOptions.asStored()));
        assertTrue(text(FourBitFormat.defaults()).contains("all as in the defaults"));
    }

    @Test
    void everyConstantOfOurEnumsHasASentence() {
        List<Enum<?>> constants = new ArrayList<>();
        Stream.of(MergeRoute.values(), Optim.values(), LearningRate.Type.values(), BatchPlan.Order.values(), BatchConfig.Normalization.values(), FourBitType.values(),
                ActivationBudget.Kept.values(), ActivationBudget.Place.values()).forEach(values -> constants.addAll(List.of(values)));
        constants.forEach(constant -> assertNotEquals("", EnumView.sentence(constant), constant.getDeclaringClass().getSimpleName() + "." + constant));
        assertTrue(text(MergeRoute.PEFT_4BIT).startsWith("PEFT_4BIT: the decoded base plus the update, rounded"));
        assertEquals(MergeRoute.values().length, text(MergeRoute.values()).lines().filter(line -> line.matches("[A-Z_0-9]+ .*")).count(), text(MergeRoute.values()));
        assertEquals("F32", text(DType.F32), "one without a sentence is its name");
    }

    @Test
    void lossesTokensAndMemoryAreTables() {
        assertEquals("held-out loss  perplexity  tokens\n-------------  ----------  ------\n        4.533       93.05  10,240", text(new HeldOutLoss(4.5331, 10_240)));
        String tokens = text(new TokenizedSet(List.of(new TokenizedRow(new int[] {1, 2, 3}, 1), new TokenizedRow(new int[] {1, 2, 3, 4, 5}, 2)), 1, 0, 0, 0, 0, NOTHING_UNREAD));
        assertTrue(tokens.contains("trained on") && tokens.contains("3, 5, 5") && tokens.contains("prompts cut"), tokens);
        assertTrue(text(new TokenizedSet(List.of(), 0, 0, 0, 0, 0, NOTHING_UNREAD)).contains("rows"));
        Rendered lengths = Rendered.of(new TokenLengths(List.of(10, 30), List.of(4, 6), 0, 1));
        assertTrue(lengths.text().contains("95 % are at most") && lengths.text().contains("25%"), lengths.text());
        assertTrue(lengths.html().orElseThrow().contains("alt=\"how many rows have which length\""));
        String use = text(new MemoryUse(1_000_000, 2_000_000, 3_000_000, 8_000_000_000L, 0));
        assertTrue(use.matches("(?s).*most in use so far +2.0 MB.*") && use.contains("limit") && use.contains("8.00 GB"), use);
        assertFalse(text(new MemoryUse(1, 2, 3, Long.MAX_VALUE, 0)).contains("limit"));
    }

    @Test
    void rowsAreATable() {
        List<InstructionRow> rows = List.of(InstructionRow.of("What <is> a bee?", "An insect."), new InstructionRow("Add", "1 2", "3"));
        assertEquals("""
                instruction       input  output
                ----------------  -----  ----------
                What <is> a bee?         An insect.
                Add               1 2    3""", text(rows));
        assertTrue(Rendered.of(rows).html().orElseThrow().contains("What &lt;is&gt; a bee?"));
        assertTrue(text(new InstructionSet("set", rows, rows)).contains("2 rows to train on, 2 held out"));
        assertTrue(Rendered.of(rows, 1).text().endsWith("... 1 more row"));
        assertEquals("[1, 2]", text(List.of(1, 2)));
        assertEquals("[]", text(List.of()));
        assertTrue(text(List.of("one ".repeat(30), "two")).lines().count() > 3);
        assertTrue(text(TargetPlan.defaults()).contains("zh-riddles         v_proj"));
    }

    @Test
    void aRunIsATableAndAChart() {
        List<TrainEvent.StepEnd> steps = List.of(new TrainEvent.StepEnd(1, 0.5, 4, 1, 1e-3, 100, 0.5, 2_000_000), new TrainEvent.StepEnd(2, 1, 3, 1, 1e-3, 100, 0.5, 2_000_000));
        TrainResult run = new TrainResult(steps, List.of(new TrainEvent.Evaluated(0, 5), new TrainEvent.Evaluated(2, 3.5)), false);
        assertEquals("""
                step   loss  held-out loss
                ----  -----  -------------
                   0                   5.0
                   2  3.474            3.5
                finished: 2 steps in 1.0 s, 200 tokens/s, at most 2.0 MB; the loss is smoothed""", text(run));
        assertTrue(Rendered.of(run).html().orElseThrow().contains("<img src=\"data:image/png;base64,"));
        assertTrue(text(new TrainResult(steps, List.of(), true)).contains("stopped after step 2, steps are left"));
        assertEquals("a run without steps", text(new TrainResult(List.of(), List.of(), false)));
    }

    @Test
    void whatIsFoundInWeightsAndGridsIsATable() {
        CheckpointDiff diff = new CheckpointDiff(List.of(new CheckpointDiff.Row("w", CheckpointDiff.Change.CHANGED, "F32 [2]", "BF16 [2]", 0.25, 1, 0.5),
                new CheckpointDiff.Row("same", CheckpointDiff.Change.SAME, "F32 [2]", "F32 [2]", 0, 0, 1)));
        assertEquals("""
                2 tensors: 1 changed, 1 same
                tensor  change   before   after     relative  largest  equal numbers
                ------  -------  -------  --------  --------  -------  -------------
                w       changed  F32 [2]  BF16 [2]    25.00%        1          50.0%""", text(diff));
        assertTrue(text(new UpdateSizes(List.of(new UpdateSizes.Row("m", 4, 1, 2)))).contains("25.00%"));
        assertTrue(text(new AdapterComparison(List.of(new AdapterComparison.Row("m", 0.5, 0.25, 0.1, 0.3, 0.1)))).startsWith("module  cosine"));
        QuantizedTensor codes = new PlainFourBitCodec().quantize(TensorView.ofFloats(new float[64], 64), FourBitFormat.defaults(), Arena.ofAuto());
        assertTrue(text(CodeFlips.of("m", codes, codes)).contains("codes flipped"));
        GridResult grid = new GridResult(900, Map.of("en", new GridResult.Losses(4, 4)), List.of(new GridResult.Run(new GridCell("en", TargetModules.names("q_proj"), 1e-3, 1), 100,
                new GridResult.Losses(3, 3), new TrainResult(List.of(), List.of(), false))));
        assertTrue(text(grid).startsWith("Each choice of modules at its own best rate\n") && text(grid).contains("10.00%") && text(grid).contains("25.0%"), text(grid));
        assertTrue(text(grid.best()).startsWith("dataSet"), text(grid.best()));
    }

    @Test
    void tensorsShowACorner() {
        float[] values = new float[100];
        for (int i = 0; i < values.length; i++) {
            values[i] = i / 10f;
        }
        assertEquals("""
                F32 [10, 10], 400 B
                min 0, mean 4.95, max 9.9
                [[0.0  0.1  0.2  0.3  0.4  0.5  0.6  0.7  ...]
                 [1.0  1.1  1.2  1.3  1.4  1.5  1.6  1.7  ...]
                 [2.0  2.1  2.2  2.3  2.4  2.5  2.6  2.7  ...]
                 [3.0  3.1  3.2  3.3  3.4  3.5  3.6  3.7  ...]
                 [4.0  4.1  4.2  4.3  4.4  4.5  4.6  4.7  ...]
                 [5.0  5.1  5.2  5.3  5.4  5.5  5.6  5.7  ...]
                 ...]""", text(TensorView.ofFloats(values, 10, 10)));
        assertEquals("F32 [2], 8 B\nmin 1, mean 1.5, max 2\n[1  2]", text(TensorView.ofFloats(new float[] {1, 2}, 2)));
        assertEquals("F32 [0], 0 B", text(TensorView.ofFloats(new float[0], 0)));
    }

    @Test
    void aSpectrumSaysHowManyDirectionsCount() {
        assertEquals("""
                direction  singular value  share of the update
                ---------  --------------  -------------------
                        1               3                  90%
                        2               1                  10%
                effective rank 1.75 of 2""", text(new Spectrum(List.of(3.0, 1.0))));
    }

    @Test
    void aModelIsATreeAndEqualLayersStandOnce() throws IOException {
        try (CpuOps ops = CpuOps.create(1); CausalLm model = TinyModel.llama().open(ops, 3)) {
            String plain = text(model);
            assertTrue(plain.lines().filter(line -> line.contains("q_proj")).count() == 1, plain);
            assertTrue(plain.contains("0 ... " + (model.spec().numHiddenLayers() - 1) + ": " + model.spec().numHiddenLayers() + " alike"), plain);
            long own = MemoryReport.of(model).total().parameters();
            assertTrue(plain.startsWith(model + ": " + ShortNumber.grouped(own) + " parameters\n"), plain);
            try (LoraAdapter adapter = LoraAdapter.create(model, LoraConfig.defaults().withR(2).withTargetModules("q_proj"), 1)) {
                String adapted = text(model);
                assertTrue(adapted.startsWith(model + ": " + ShortNumber.grouped(own + adapter.parameterCount()) + " parameters, of which " + ShortNumber.grouped(adapter.parameterCount())
                        + " in adapters ("), adapted);
                assertTrue(adapted.contains("LoRA r 2, A [2, "), adapted);
                assertTrue(Rendered.of(model).html().orElseThrow().startsWith("<details open><summary><b>"));
                assertTrue(text(adapter).startsWith("adapter r 2, alpha 16, dropout 0.1, q_proj, in force: " + ShortNumber.grouped(adapter.parameterCount()) + " parameters"), text(adapter));
                assertTrue(text(TargetTable.of(model, adapter.config())).endsWith(ShortNumber.grouped(adapter.parameterCount()) + " parameters are trained"));
            }
            assertTrue(text(ops).startsWith("cpu: ") && !text(ops).contains("\n"), text(ops));
        }
    }

    @Test
    void aMergeReportShowsSharesInPercent() {
        String text = text(new MergeReport(5.75, 4.5, 1_000_000, List.of(new MergeReport.Row(MergeRoute.PEFT_4BIT, 5.7, 0.04, 2_000_000))));
        assertTrue(text.contains("4.0%") && text.contains("100.0%") && !text.contains("0.04 "), text);
    }

    @Test
    void ofOthersNothingChanges() {
        assertEquals("1=2", text(Map.entry(1, 2)));
        assertEquals("[1=2]", text(List.of(Map.entry(1, 2))));
        record Theirs(int a, String b) { }
        assertTrue(text(List.of(new Theirs(1, "x"), new Theirs(20, "y"))).contains(" 1  x"));
        assertEquals(Path.of("x").toString(), text(Path.of("x")));
    }
}
