package jqlora.inspect;

import static jqlora.Assert.assertClose;
import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.Arrays;
import java.util.List;
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
import jqlora.ops.LoraFactors;
import jqlora.ops.Weight;
import jqlora.ops.cpu.CpuOps;
import jqlora.tensor.Tensor;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.knowm.xchart.HeatMapChart;
import org.knowm.xchart.XYChart;
import tech.tablesaw.api.Table;

class WeightDiffTest {
    private static final String K = "model.layers.1.self_attn.k_proj", DOWN = "model.layers.0.mlp.down_proj";
    private static final LoraConfig LORA = LoraConfig.defaults().withR(4).withLoraAlpha(6).withTargetModules("k_proj", "down_proj");

    private static CpuOps ops;

    @BeforeAll
    static void open() {
        ops = CpuOps.create();
    }

    @AfterAll
    static void close() {
        assertEquals(0, ops.memory().bytesInUse(), "bytes in use after all models, adapters and merges are closed");
        ops.close();
    }

    private interface Body {
        void run(CausalLm model, LoraAdapter adapter, Merger.Merged merged) throws IOException;
    }

    private static void merged(LoadOptions options, MergeRoute route, Body body) throws IOException {
        try (CausalLm model = ModelLoader.load(Oracle.path("families/llama"), options, ops, LoadListener.SILENT);
                LoraAdapter adapter = RandomAdapter.create(model, LORA, 0.01, 5); Merger.Merged merged = Merger.withoutOriginal().merge(adapter, route)) {
            body.run(model, adapter, merged);
        }
    }

    private static float[] floats(Weight weight) {
        try (Tensor tensor = ops.toFloat(weight)) {
            return ops.download(tensor).toFloats();
        }
    }

    /** (alpha / r) B A in double. */
    private static double[] update(LoraFactors factors) {
        float[] a = ops.download(factors.a().value()).toFloats(), b = ops.download(factors.b().value()).toFloats();
        int r = (int) factors.r(), in = a.length / r, out = b.length / r;
        double[] update = new double[out * in];
        for (int i = 0; i < update.length; i++) {
            for (int k = 0; k < r; k++) {
                update[i] += (double) factors.scaling() * b[i / in * r + k] * a[k * in + i % in];
            }
        }
        return update;
    }

    private static double norm(double[] values) {
        double squares = 0;
        for (double value : values) {
            squares += value * value;
        }
        return Math.sqrt(squares);
    }

    @Test
    void aMergeInFloat32IsTheSumToTheLastBits() throws IOException {
        merged(LoadOptions.asStored(), MergeRoute.ONTO_BASE, (model, adapter, merged) -> {
            for (String module : List.of(K, DOWN)) {
                float[] before = floats(merged.before(module)), after = floats(model.linear(module).weight());
                double[] update = update(adapter.factors().get(module)), weight = new double[before.length], change = new double[before.length];
                double largestChange = 0, largestError = 0, highest = 0;
                int same = 0;
                for (int i = 0; i < change.length; i++) {
                    weight[i] = before[i];
                    change[i] = (double) after[i] - before[i];
                    largestChange = Math.max(largestChange, Math.abs(change[i]));
                    largestError = Math.max(largestError, Math.abs(change[i] - update[i]));
                    highest = Math.max(highest, Math.abs(after[i]));
                    same += change[i] == 0 ? 1 : 0;
                }
                WeightDiff.Figures figures = WeightDiff.of(adapter, merged, module).figures();
                assertFalse(WeightDiff.of(adapter, merged, module).isDecoded());
                assertClose("norm before", figures.beforeNorm(), norm(weight), 1e-12, 0);
                assertClose("norm of the change", figures.changeNorm(), norm(change), 1e-12, 0);
                assertClose("relative change", figures.relativeChange(), norm(change) / norm(weight), 1e-12, 0);
                assertClose("norm of the update", figures.updateNorm(), norm(update), 1e-6, 0);
                assertClose("relative update", figures.relativeUpdate(), norm(update) / norm(weight), 1e-6, 0);
                assertClose("all of the update has arrived", figures.arrived(), 1, 0, 1e-4);
                assertTrue(figures.relativeError() < 1e-6, () -> module + ": " + figures);
                assertEquals(largestChange, figures.largestChange());
                assertEquals((double) same / change.length, figures.unchanged());
                // the sum is rounded to float32: half a last place of the largest number, and the update's own rounding
                assertTrue(figures.largestError() <= Math.ulp((float) highest), () -> module + ": " + figures);
                assertClose("largest error", figures.largestError(), largestError, 0, 1e-9);
                assertTrue(figures.largestChange() > 1e-3, () -> module + ": the update must be seen: " + figures);
            }
        });
    }

    @Test
    void aMergeInto4BitsShowsWhatRoundingTookAway() throws IOException {
        merged(LoadOptions.defaults(), MergeRoute.PEFT_4BIT, (model, adapter, merged) -> {
            WeightDiff.Figures figures = WeightDiff.of(adapter, merged, DOWN).figures();
            double[] update = update(adapter.factors().get(DOWN));
            float[] before = floats(merged.before(DOWN)), after = floats(model.linear(DOWN).weight());
            double worst = 0, product = 0;
            double[] error = new double[update.length];
            for (int i = 0; i < update.length; i++) {
                error[i] = (double) after[i] - before[i] - update[i];
                worst = Math.max(worst, Math.abs(error[i]));
                product += ((double) after[i] - before[i]) * update[i];
            }
            assertClose("largest error", figures.largestError(), worst, 1e-5, 0);
            assertTrue(figures.largestError() > 1e-3, figures::toString);
            assertClose("norm of the error", figures.errorNorm(), norm(error), 1e-5, 0);
            assertClose("what has arrived", figures.arrived(), product / (norm(update) * norm(update)), 1e-4, 1e-4);
            assertTrue(figures.arrived() < 0.9, figures::toString);
            assertTrue(WeightDiff.of(adapter, merged, DOWN).isDecoded());
            assertTrue(1 - figures.unchanged() > CodeFlips.of(merged, DOWN).flipped(), "numbers of another absmax differ although their codes stay");
        });
    }

    @Test
    void tablesShowTheSumNumberByNumberAndEveryModule() throws IOException {
        merged(LoadOptions.asStored(), MergeRoute.ONTO_BASE, (model, adapter, merged) -> {
            WeightDiff diff = WeightDiff.of(adapter, merged, K);
            Table corner = diff.corner(3);
            assertEquals(K, corner.name());
            assertEquals(List.of("[row, column]", "before", "(alpha/r) B A", "after", "after - sum"), corner.columnNames());
            assertEquals(List.of("[0, 0]", "[0, 1]", "[0, 2]", "[1, 0]", "[1, 1]", "[1, 2]", "[2, 0]", "[2, 1]", "[2, 2]"), corner.stringColumn(0).asList());
            double[] update = update(adapter.factors().get(K));
            float[] before = floats(merged.before(K)), after = floats(model.linear(K).weight());
            for (int i = 0; i < 9; i++) {
                int at = i / 3 * 64 + i % 3;
                assertEquals(before[at], corner.doubleColumn("before").getDouble(i));
                assertEquals(after[at], corner.doubleColumn("after").getDouble(i));
                assertClose("update", corner.doubleColumn("(alpha/r) B A").getDouble(i), update[at], 1e-5, 1e-9);
                assertClose("rest", corner.doubleColumn("after - sum").getDouble(i), 0, 0, 1e-7);
            }
            assertEquals(32 * 64, diff.corner(1_000).rowCount(), "no more than there is");

            Table summary = WeightDiff.summary(adapter, merged);
            assertEquals(List.of("module", "norm before", "norm of change", "relative", "largest change", "largest error", "effective rank"), summary.columnNames());
            assertEquals(List.copyOf(adapter.factors().keySet()), summary.stringColumn(0).asList());
            int row = summary.stringColumn(0).asList().indexOf(K);
            WeightDiff.Figures figures = diff.figures();
            assertEquals(List.of(figures.beforeNorm(), figures.changeNorm(), figures.relativeChange(), figures.largestChange(), figures.largestError(), diff.spectrum().effectiveRank()),
                    List.of(1, 2, 3, 4, 5, 6).stream().map(column -> summary.doubleColumn(column).getDouble(row)).toList());
            assertTrue(diff.toString().matches("model\\.layers\\.1\\.self_attn\\.k_proj: changed by 0\\.\\d+ of its norm, largest error [\\d.]+e-\\d\\d"), diff::toString);
        });
    }

    @Test
    void picturesCountEveryNumberOnce() throws IOException {
        merged(LoadOptions.asStored(), MergeRoute.ONTO_BASE, (model, adapter, merged) -> {
            WeightDiff diff = WeightDiff.of(adapter, merged, DOWN);
            XYChart histogram = diff.histogram();
            Pictures.assertDrawn(histogram, "Change of " + DOWN, "after - before", "weights");
            double counted = Arrays.stream(histogram.getSeriesMap().get("change").getYData()).sum();
            assertEquals(64 * 112, counted, "weights in the histogram");
            HeatMapChart map = diff.heatMap();
            Pictures.assertDrawn(map, "Mean |change| of " + DOWN + ", in thousandths", "input features", "output features");
            assertEquals(48 * 48, map.getSeriesMap().get("size").getHeatData().size());
        });
    }

    @Test
    void whatTheMergeDoesNotHoldIsRefused() throws IOException {
        merged(LoadOptions.asStored(), MergeRoute.ONTO_BASE, (model, adapter, merged) -> {
            assertFails(IllegalArgumentException.class, () -> WeightDiff.of(adapter, merged, "model.layers.0.self_attn.q_proj"),
                    "weight diff: the merge holds nothing of \"model.layers.0.self_attn.q_proj\"", "it holds model.layers.0.self_attn.k_proj, " + DOWN);
            merged.unmerge();
            assertFails(IllegalArgumentException.class, () -> WeightDiff.of(adapter, merged, K), "the merge holds nothing of \"" + K + "\"");
        });
    }
}
