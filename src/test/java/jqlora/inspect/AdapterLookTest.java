package jqlora.inspect;

import static jqlora.Assert.assertClose;
import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.List;
import jqlora.Oracle;
import jqlora.RandomAdapter;
import jqlora.lora.LoraAdapter;
import jqlora.lora.LoraConfig;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.ModelLoader;
import jqlora.ops.LoraDelta;
import jqlora.ops.Parameter;
import jqlora.ops.cpu.CpuOps;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.knowm.xchart.HeatMapChart;

/** How large the updates of an adapter are, and how alike those of two. Hidden 64, 4 heads of 16, 2 key-value heads, two layers. */
class AdapterLookTest {
    private static final String Q = "model.layers.0.self_attn.q_proj", DOWN = "model.layers.1.mlp.down_proj";
    private static final LoraConfig LORA = LoraConfig.defaults().withR(4).withLoraAlpha(6).withTargetModules("q_proj", "v_proj", "o_proj", "down_proj");

    private static CpuOps ops;
    private static CausalLm model;

    @BeforeAll
    static void open() throws IOException {
        ops = CpuOps.create();
        model = ModelLoader.load(Oracle.path("families/llama"), LoadOptions.defaults(), ops, LoadListener.SILENT);
    }

    @AfterAll
    static void close() {
        model.close();
        assertEquals(0, ops.memory().bytesInUse(), "bytes in use after model and adapters are closed");
        ops.close();
    }

    private static LoraAdapter adapter(LoraConfig config, long seed) {
        LoraAdapter adapter = RandomAdapter.create(model, config, 0.01, seed);
        adapter.detach();
        return adapter;
    }

    private static double[] update(LoraAdapter adapter, String module) {
        float[][] rows = LoraDelta.of(ops, adapter.factors().get(module)).toRows();
        double[] flat = new double[rows.length * rows[0].length];
        for (int i = 0; i < flat.length; i++) {
            flat[i] = rows[i / rows[0].length][i % rows[0].length];
        }
        return flat;
    }

    private static double[] weight(String module) {
        try (Tensor numbers = ops.toFloat(model.linear(module).weight())) {
            float[] floats = ops.download(numbers).toFloats();
            double[] doubles = new double[floats.length];
            for (int i = 0; i < doubles.length; i++) {
                doubles[i] = floats[i];
            }
            return doubles;
        }
    }

    private static double dot(double[] one, double[] other) {
        double sum = 0;
        for (int i = 0; i < one.length; i++) {
            sum += one[i] * other[i];
        }
        return sum;
    }

    private static void fill(Parameter parameter, float[] values) {
        try (Tensor filled = ops.upload(TensorView.ofFloats(values, parameter.value().shape().toArray()))) {
            ops.copyInto(parameter.value(), filled);
        }
    }

    @Test
    void sizesAreNormsOfTheWholeMatrices() {
        try (LoraAdapter adapter = adapter(LORA, 1)) {
            UpdateSizes sizes = UpdateSizes.of(adapter);
            assertEquals(List.copyOf(adapter.factors().keySet()), sizes.rows().stream().map(UpdateSizes.Row::module).toList());
            for (UpdateSizes.Row row : sizes.rows()) {
                double[] update = update(adapter, row.module()), weight = weight(row.module());
                assertClose(row.module(), row.update(), Math.sqrt(dot(update, update)), 1e-5, 0);
                assertClose(row.module(), row.weight(), Math.sqrt(dot(weight, weight)), 1e-9, 0);
                assertClose(row.module(), row.relative(), row.update() / row.weight(), 1e-12, 0);
                assertTrue(row.effectiveRank() > 1 && row.effectiveRank() <= 4, row.toString());
            }
            assertEquals(List.of("module", "norm of W", "norm of the update", "relative", "effective rank"), sizes.table().columnNames());
            HeatMapChart map = sizes.map();
            Pictures.assertDrawn(map, "Size of the update against that of W", "module", "layer");
            assertEquals(List.of("q_proj", "v_proj", "o_proj", "down_proj"), map.getSeriesMap().get("value").getXData());
        }
    }

    @Test
    void headsAreRowsOrColumns() {
        try (LoraAdapter adapter = adapter(LORA, 2)) {
            HeatMapChart heads = UpdateSizes.heads(adapter, "q_proj");
            Pictures.assertDrawn(heads, "Size of the update against that of W: heads of q_proj", "head", "layer");
            assertEquals(List.of(0, 1, 2, 3), heads.getSeriesMap().get("value").getXData());
            assertEquals(List.of(0, 1), UpdateSizes.heads(adapter, "v_proj").getSeriesMap().get("value").getXData());
            double[] update = update(adapter, Q), weight = weight(Q);
            double changed = 0, there = 0;
            for (int i = 16 * 64; i < 32 * 64; i++) {             // the second head
                changed += update[i] * update[i];
                there += weight[i] * weight[i];
            }
            Number[] cell = (Number[]) heads.getSeriesMap().get("value").getHeatData().get(1);
            assertEquals("1,1", cell[0] + "," + cell[1]);
            assertClose("second head of layer 0", cell[2].doubleValue(), 100 * Math.sqrt(changed / there), 6e-3, 0);

            String o = "model.layers.1.self_attn.o_proj";
            update = update(adapter, o);
            weight = weight(o);
            changed = 0;
            there = 0;
            for (int i = 0; i < update.length; i++) {
                if (i % 64 >= 48) {                               // the last head's columns
                    changed += update[i] * update[i];
                    there += weight[i] * weight[i];
                }
            }
            List<? extends Number[]> outputs = UpdateSizes.heads(adapter, "o_proj").getSeriesMap().get("value").getHeatData();
            assertClose("last head of layer 1", ((Number[]) outputs.getLast())[2].doubleValue(), 100 * Math.sqrt(changed / there), 6e-3, 0);
            assertFails(IllegalArgumentException.class, () -> UpdateSizes.heads(adapter, "down_proj"), "heads: \"down_proj\" has no heads");
            assertFails(IllegalArgumentException.class, () -> UpdateSizes.heads(adapter, "k_proj"), "heads: the adapter has nothing for \"k_proj\"; it has " + Q);
        }
    }

    @Test
    void anAdapterIsLikeItselfAndAsUnlikeAnotherAsChanceSays() {
        try (LoraAdapter one = adapter(LORA, 1); LoraAdapter other = adapter(LORA.withR(6), 2)) {
            for (AdapterComparison.Row row : AdapterComparison.of(one, one, 3).rows()) {
                assertClose(row.module(), new double[] {row.cosine(), row.read(), row.written()}, new double[] {1, 1, 1}, 1e-9, 0);
            }
            AdapterComparison both = AdapterComparison.of(one, other, 4);
            for (AdapterComparison.Row row : both.rows()) {
                double[] a = update(one, row.module()), b = update(other, row.module());
                assertClose(row.module(), row.cosine(), dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b)), 0, 1e-5);
                assertTrue(row.read() >= 0 && row.read() < 4 * row.readByChance() && row.written() < 4 * row.writtenByChance(), row.toString());
            }
            assertEquals(4 / 112.0, both.rows().stream().filter(row -> row.module().equals(DOWN)).findFirst().orElseThrow().readByChance());
            AdapterComparison.Row mean = both.mean("one and other");
            assertEquals("one and other", mean.module());
            assertClose("mean", mean.read(), both.rows().stream().mapToDouble(AdapterComparison.Row::read).sum() / both.rows().size(), 1e-12, 0);
            assertClose("mean", mean.cosine(), 0, 0, 0.1);
            Pictures.assertDrawn(both.map("Cosines"), "Cosines", "module", "layer");
        }
    }

    /** The same B with other columns of A in part: what is read is half common, what is written is the same. */
    @Test
    void directionsThatAreReadAndWrittenAreToldApart() {
        LoraConfig two = LORA.withR(2).withTargetModules("q_proj");
        try (LoraAdapter one = adapter(two, 1); LoraAdapter other = adapter(two, 2)) {
            float[] b = new float[64 * 2];
            b[0] = 2;                                             // output 0 from the first direction
            b[2 * 5 + 1] = 1;                                     // output 5 from the second
            for (String module : one.factors().keySet()) {
                fill(one.factors().get(module).b(), b);
                fill(other.factors().get(module).b(), b);
                fill(one.factors().get(module).a(), inputs(3, 7));
                fill(other.factors().get(module).a(), inputs(3, 8));
            }
            for (AdapterComparison.Row row : AdapterComparison.of(one, other, 2).rows()) {
                assertClose(row.module(), new double[] {row.read(), row.written(), row.cosine()}, new double[] {0.5, 1, 4 / 5.0}, 1e-9, 0);
            }
            assertClose("the strongest alone", AdapterComparison.of(one, other, 1).rows().getFirst().read(), 1, 1e-9, 0);
        }
    }

    private static float[] inputs(int first, int second) {
        float[] a = new float[2 * 64];
        a[first] = 1;
        a[64 + second] = 1;
        return a;
    }

    @Test
    void whatCannotBeComparedIsRefused() {
        try (LoraAdapter one = adapter(LORA, 1); LoraAdapter other = adapter(LORA.withTargetModules("k_proj"), 2); LoraAdapter fresh = LoraAdapter.create(model, LORA, 1)) {
            assertFails(IllegalArgumentException.class, () -> AdapterComparison.of(one, other, 2), "adapter comparison: no module is in both; one has q_proj, v_proj, o_proj, down_proj, the other k_proj");
            assertFails(IllegalArgumentException.class, () -> AdapterComparison.of(one, one, 5), "adapter comparison: 5 directions of " + Q + ", it must be from 1 to the smaller rank, 4");
            assertFails(IllegalArgumentException.class, () -> AdapterComparison.of(one, fresh, 2), "adapter comparison: the update of " + Q + " is zero; has the adapter been trained?");
        }
    }
}
