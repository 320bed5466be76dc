package jqlora.inspect;

import static jqlora.Assert.assertClose;
import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Map;
import jqlora.Oracle;
import jqlora.RandomAdapter;
import jqlora.lora.LoraAdapter;
import jqlora.lora.LoraConfig;
import jqlora.lora.MergeRoute;
import jqlora.lora.Merger;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.ModelLoader;
import jqlora.ops.Weight;
import jqlora.ops.cpu.CpuOps;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import tech.tablesaw.api.Table;

class MergeDiffTest {
    private static final LoraConfig LORA = LoraConfig.defaults().withR(4).withLoraAlpha(8).withTargetModules("k_proj", "down_proj");

    private static CpuOps ops;

    @BeforeAll
    static void open() {
        ops = CpuOps.create();
    }

    @AfterAll
    static void close() {
        ops.close();
    }

    private interface Body {
        void run(CausalLm model, LoraAdapter adapter) throws IOException;
    }

    private static void adapted(LoadOptions options, Body body) throws IOException {
        try (CausalLm model = ModelLoader.load(Oracle.path("families/llama"), options, ops, LoadListener.SILENT);
                LoraAdapter adapter = RandomAdapter.create(model, LORA, 0.01, 5)) {
            body.run(model, adapter);
        }
    }

    private static int[] codes(Weight weight) {
        byte[] bytes = ops.download((Weight.FourBit) weight).codes().toArray(ValueLayout.JAVA_BYTE);
        int[] codes = new int[2 * bytes.length];
        for (int i = 0; i < codes.length; i++) {
            codes[i] = i % 2 == 0 ? bytes[i / 2] >> 4 & 15 : bytes[i / 2] & 15;
        }
        return codes;
    }

    @Test
    void everyModuleHasItsFiguresAndItsFlippedCodes() throws IOException {
        adapted(LoadOptions.defaults(), (model, adapter) -> {
            try (Merger.Merged merged = Merger.withoutOriginal().merge(adapter, MergeRoute.STOCHASTIC_4BIT)) {
                MergeDiff diff = MergeDiff.of(merged);
                assertEquals(List.copyOf(adapter.factors().keySet()), diff.rows().stream().map(MergeDiff.Row::module).toList());
                long all = 0, flippedOfAll = 0;
                for (MergeDiff.Row row : diff.rows()) {
                    assertEquals(WeightDiff.of(adapter, merged, row.module()).figures(), row.figures());
                    int[] before = codes(merged.before(row.module())), after = codes(model.linear(row.module()).weight());
                    long flipped = 0;
                    for (int i = 0; i < before.length; i++) {
                        flipped += before[i] == after[i] ? 0 : 1;
                    }
                    assertTrue(flipped > 0, row::toString);
                    assertEquals(before.length, row.weights());
                    assertEquals((double) flipped / before.length, row.flipped(), row.module());
                    all += before.length;
                    flippedOfAll += flipped;
                }
                assertEquals(all, diff.total().weights());
                assertClose("codes flipped in all", diff.total().flipped(), (double) flippedOfAll / all, 1e-12, 0);
                Pictures.assertDrawn(diff.flipMap(), "4-bit codes that changed", "layer", "");
            }
        });
    }

    @Test
    void theTotalIsThatOfAllNumbersAsOneVector() throws IOException {
        adapted(LoadOptions.asStored(), (model, adapter) -> {
            try (Merger.Merged merged = Merger.withoutOriginal().merge(adapter, MergeRoute.ONTO_BASE)) {
                MergeDiff diff = MergeDiff.of(merged);
                double before = 0, change = 0;
                for (String module : adapter.factors().keySet()) {
                    WeightDiff.Figures figures = WeightDiff.of(adapter, merged, module).figures();
                    before += Math.pow(figures.beforeNorm(), 2);
                    change += Math.pow(figures.changeNorm(), 2);
                }
                WeightDiff.Figures all = diff.total().figures();
                assertClose("relative change", all.relativeChange(), Math.sqrt(change / before), 1e-12, 0);
                assertClose("arrived", all.arrived(), 1, 0, 1e-4);
                assertClose("relative update", all.relativeUpdate(), all.relativeChange(), 1e-4, 0);
                assertTrue(Double.isNaN(diff.total().flipped()), "numbers have no codes");
                assertFails(IllegalArgumentException.class, diff::flipMap, "merge diff: no weight is in 4 bits before and after the merge");
                Pictures.assertDrawn(diff.changeMap(), "Change against the weight", "layer", "");

                Table table = diff.table();
                assertEquals(List.of("module", "change", "error", "update that arrived", "codes flipped"), table.columnNames());
                assertEquals(1 + diff.rows().size(), table.rowCount());
                assertEquals("all", table.stringColumn(0).get(0));
                assertEquals(all.relativeChange(), table.doubleColumn(1).getDouble(0));
            }
        });
    }

    @Test
    void aMergeThatIsUndoneHoldsNothing() throws IOException {
        adapted(LoadOptions.defaults(), (model, adapter) -> {
            Merger.Merged merged = Merger.withoutOriginal().merge(adapter, MergeRoute.PEFT_4BIT);
            merged.unmerge();
            assertFails(IllegalArgumentException.class, () -> MergeDiff.of(merged), "merge diff: the merge of r 4, alpha 8", "is undone or final");
        });
    }

    @Test
    void aMapHasACellForEachModule() {
        var map = LayerMap.ofShares("x", Map.of("model.layers.0.q_proj", 0.5, "model.layers.11.q_proj", 0.25));
        assertEquals(2, map.getHeatMapSeries().getHeatData().size());
        assertEquals(List.of(0, 11), map.getHeatMapSeries().getXData());
        assertEquals(List.of("q_proj"), map.getHeatMapSeries().getYData());
        Pictures.assertDrawn(map, "x", "layer", "");
    }
}
