package jqlora.evaluate;

import static jqlora.Assert.assertClose;
import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import jqlora.TinyModel;
import jqlora.data.TokenizedRow;
import jqlora.format.Checkpoint;
import jqlora.lora.LoraAdapter;
import jqlora.lora.LoraConfig;
import jqlora.lora.MergeRoute;
import jqlora.lora.Merger;
import jqlora.model.CausalLm;
import jqlora.model.Linear;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.MemoryReport;
import jqlora.model.ModelLoader;
import jqlora.ops.Weight;
import jqlora.ops.cpu.CpuOps;
import jqlora.tensor.DType;
import jqlora.train.HeldOutLoss;
import jqlora.train.LearningRate;
import jqlora.train.SftConfig;
import jqlora.train.SftTrainer;
import jqlora.train.TrainListener;
import jqlora.train.TrainedWeights;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class MergeReportTest {
    private static final List<TokenizedRow> ROWS = TinyModel.rows(6, 14, 21);

    @TempDir
    static Path temp;
    private static CpuOps ops;
    private static Path folder;

    @BeforeAll
    static void open() throws IOException {
        ops = CpuOps.create();
        folder = TinyModel.llama().write(temp.resolve("model"), DType.F32, 4, ops);
    }

    @AfterAll
    static void close() {
        assertEquals(0, ops.memory().bytesInUse(), "bytes in use after all models and adapters are closed");
        ops.close();
    }

    private static CausalLm load(LoadOptions options) throws IOException {
        return ModelLoader.load(folder, options, ops, LoadListener.SILENT);
    }

    /** An adapter that has learned {@link #ROWS}, so that there is a gain to keep. */
    private static LoraAdapter trained(CausalLm model) throws IOException {
        LoraAdapter adapter = LoraAdapter.create(model, LoraConfig.defaults().withR(4).withLoraAlpha(8).withLoraDropout(0), 3);
        SftConfig config = SftConfig.defaults().withBatchSize(6).withMaxSteps(25).withLearningRate(LearningRate.constant(1e-2));
        new SftTrainer(new TrainedWeights.OfAdapter(adapter, null), ROWS, List.of(), config, null).train(TrainListener.SILENT);
        return adapter;
    }

    @Test
    void everyRouteIsMeasuredAndUndone() throws IOException {
        try (CausalLm model = load(LoadOptions.defaults()); LoraAdapter adapter = trained(model); Checkpoint original = Checkpoint.open(folder)) {
            List<byte[]> before = codes(model);
            List<Weight> weights = model.linears().values().stream().map(Linear::weight).toList();
            long inUse = ops.memory().bytesInUse(), baseBytes = MemoryReport.of(model).total().bytes();
            double tuned = HeldOutLoss.of(model, ROWS).loss();
            List<MergeRoute> routes = MergeReport.routes(adapter, true);
            assertEquals(List.of(MergeRoute.values()), routes);

            MergeReport report = MergeReport.measure(adapter, ROWS, Merger.withOriginal(original), routes);

            assertEquals(routes, report.rows().stream().map(MergeReport.Row::route).toList());
            assertEquals(tuned, report.tunedLoss());
            assertEquals(baseBytes + 4 * adapter.parameterCount(), report.tunedBytes());
            assertTrue(report.baseLoss() - report.tunedLoss() > 1, report::toString);
            for (MergeReport.Row row : report.rows()) {
                assertClose(row.route() + " kept", row.kept(), (report.baseLoss() - row.loss()) / (report.baseLoss() - report.tunedLoss()), 1e-12, 0);
                if (row.route().isToFourBit()) {
                    assertEquals(baseBytes, row.bytes(), row.route() + ": as large as the base");
                } else {
                    assertEquals(MemoryReport.of(model).total().bytesInFloat32(), row.bytes(), row.route() + ": every weight in float32");
                }
            }
            // decoded weights plus the update, in float32: what base and adapter compute
            assertClose("kept onto the base", row(report, MergeRoute.ONTO_BASE).kept(), 1, 0, 1e-4);
            assertTrue(row(report, MergeRoute.PEFT_4BIT).kept() < row(report, MergeRoute.ONTO_BASE).kept() - 0.01, report::toString);

            assertTrue(adapter.isAttached(), "the adapter is in force again");
            List<Weight> after = model.linears().values().stream().map(Linear::weight).toList();
            for (int i = 0; i < weights.size(); i++) {
                assertSame(weights.get(i), after.get(i));
                assertArrayEquals(before.get(i), codes(model).get(i));
            }
            assertEquals(tuned, HeldOutLoss.of(model, ROWS).loss(), "loss of base and adapter afterwards");
            assertEquals(inUse, ops.memory().bytesInUse());
            assertEquals(report, MergeReport.measure(adapter, ROWS, Merger.withOriginal(original), routes), "the same measurement again");
        }
    }

    private static MergeReport.Row row(MergeReport report, MergeRoute route) {
        return report.rows().stream().filter(row -> row.route() == route).findFirst().orElseThrow();
    }

    /** The codes of each 4-bit layer; empty for the others. */
    private static List<byte[]> codes(CausalLm model) {
        List<byte[]> codes = new ArrayList<>();
        for (Linear linear : model.linears().values()) {
            codes.add(linear.weight() instanceof Weight.FourBit weight ? ops.download(weight).codes().toArray(java.lang.foreign.ValueLayout.JAVA_BYTE) : new byte[0]);
        }
        return codes;
    }

    @Test
    void routesThatDoNotFitAreLeftOut() throws IOException {
        LoraConfig lora = LoraConfig.defaults().withR(2);
        try (CausalLm model = load(LoadOptions.asStored()); LoraAdapter adapter = LoraAdapter.create(model, lora, 1)) {
            assertEquals(List.of(MergeRoute.ONTO_BASE), MergeReport.routes(adapter, false), "a dense base");
            assertEquals(List.of(MergeRoute.ONTO_BASE, MergeRoute.ONTO_ORIGINAL), MergeReport.routes(adapter, true), "a dense base with its original");
        }
        try (CausalLm model = load(LoadOptions.defaults()); LoraAdapter adapter = LoraAdapter.create(model, lora, 1)) {
            assertEquals(List.of(MergeRoute.ONTO_BASE, MergeRoute.STOCHASTIC_4BIT, MergeRoute.PEFT_4BIT), MergeReport.routes(adapter, false), "4 bits without the original");
        }
        try (CausalLm model = load(LoadOptions.defaults().withSkipModules(List.of("q_proj"))); LoraAdapter adapter = LoraAdapter.create(model, lora, 1)) {
            assertEquals(List.of(MergeRoute.ONTO_BASE, MergeRoute.STOCHASTIC_4BIT, MergeRoute.PEFT_4BIT), MergeReport.routes(adapter, false), "the other layers are in 4 bits");
            MergeReport report = MergeReport.measure(adapter, ROWS, Merger.withoutOriginal(), MergeReport.routes(adapter, false));
            assertEquals(3, report.rows().size());
        }
    }

    @Test
    void aRouteThatFailsLeavesEverythingAsItWas() throws IOException {
        try (CausalLm model = load(LoadOptions.defaults()); LoraAdapter adapter = LoraAdapter.create(model, LoraConfig.defaults().withR(2), 1)) {
            double before = HeldOutLoss.of(model, ROWS).loss();
            assertFails(IllegalArgumentException.class, () -> MergeReport.measure(adapter, ROWS, Merger.withoutOriginal(), List.of(MergeRoute.STOCHASTIC_4BIT, MergeRoute.ORIGINAL_TO_4BIT)),
                    "merge: ORIGINAL_TO_4BIT needs the original checkpoint", "STOCHASTIC_4BIT");
            assertTrue(adapter.isAttached());
            assertEquals(before, HeldOutLoss.of(model, ROWS).loss());
            adapter.detach();
            assertFails(IllegalArgumentException.class, () -> MergeReport.measure(adapter, ROWS, Merger.withoutOriginal(), List.of(MergeRoute.ONTO_BASE)),
                    "merge report: the adapter is not in force, so its gain cannot be measured; attach it first");
        }
    }

    @Test
    void textHasALineForEachRoute() {
        MergeReport report = new MergeReport(3.25, 1.5, 100, List.of(new MergeReport.Row(MergeRoute.ONTO_BASE, 1.5, 1, 5_250_000), new MergeReport.Row(MergeRoute.PEFT_4BIT, 3, 0.1429, 1_000_000)));
        assertEquals("base 3.2500, tuned 1.5000\nONTO_BASE         1.5000  keeps 1.00  5.3 MB\nPEFT_4BIT         3.0000  keeps 0.14  1.0 MB", report.toString().replace(System.lineSeparator(), "\n"));
    }
}
