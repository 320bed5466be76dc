package jqlora.inspect;

import static jqlora.Assert.assertClose;
import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.List;
import jqlora.Oracle;
import jqlora.data.TokenizedRow;
import jqlora.lora.LoraAdapter;
import jqlora.lora.LoraConfig;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.ModelLoader;
import jqlora.ops.cpu.CpuOps;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.Test;

/** An adapter in its parts, and the gradients that they get. */
class LoraPartsTest {
    private static final String MODULE = "model.layers.0.self_attn.q_proj";

    @FunctionalInterface
    private interface Body {
        void run(CausalLm model, LoraAdapter adapter) throws IOException;
    }

    private static void with(LoadOptions options, Body body) throws IOException {
        LoraConfig config = LoraConfig.defaults().withR(2).withLoraAlpha(6).withLoraDropout(0).withTargetModules("q_proj", "down_proj");
        try (CpuOps ops = CpuOps.create(); CausalLm model = ModelLoader.load(Oracle.path("families/llama"), options, ops, LoadListener.SILENT);
                LoraAdapter adapter = LoraAdapter.create(model, config, 1)) {
            body.run(model, adapter);
        }
    }

    /** B of {@code module} becomes 0.01, 0.02 ... */
    private static void fillB(CausalLm model, LoraAdapter adapter, String module) {
        var b = adapter.factors().get(module).b().value();
        float[] values = new float[(int) b.shape().size()];
        for (int i = 0; i < values.length; i++) {
            values[i] = 0.01f * (i + 1);
        }
        try (var filled = model.ops().upload(TensorView.ofFloats(values, b.shape().toArray()))) {
            model.ops().copyInto(b, filled);
        }
    }

    @Test
    void theSumIsWeightAndScaledProduct() throws IOException {
        for (LoadOptions options : List.of(LoadOptions.asStored(), LoadOptions.defaults())) {
            with(options, (model, adapter) -> {
                assertArrayEquals(new float[(int) model.linear(MODULE).weight().shape().size()], LoraParts.of(adapter, MODULE).update().toFloats(), "B is zero at first");
                fillB(model, adapter, MODULE);
                LoraParts parts = LoraParts.of(adapter, MODULE);
                assertEquals(3, parts.scaling());
                float[] a = parts.a().toFloats(), b = parts.b().toFloats(), w = parts.weight().toFloats(), sum = parts.sum().toFloats();
                int in = (int) parts.weight().shape().dim(1), out = (int) parts.weight().shape().dim(0);
                double[] expected = new double[out * in];
                for (int i = 0; i < expected.length; i++) {
                    expected[i] = w[i] + 3 * ((double) b[i / in * 2] * a[i % in] + (double) b[i / in * 2 + 1] * a[in + i % in]);
                }
                for (int i = 0; i < expected.length; i++) {
                    assertClose("element " + i, sum[i], expected[i], 1e-5, 1e-6);
                }
                assertEquals(Spectrum.of(adapter, MODULE).norm(), norm(parts.update()), 1e-4);
            });
        }
    }

    private static double norm(TensorView view) {
        double squares = 0;
        for (float value : view.toFloats()) {
            squares += (double) value * value;
        }
        return Math.sqrt(squares);
    }

    @Test
    void theLayerComputesWhatItsPartsSay() throws IOException {
        with(LoadOptions.defaults(), (model, adapter) -> {
            fillB(model, adapter, MODULE);
            float[] sum = LoraParts.of(adapter, MODULE).sum().toFloats(), x = new float[(int) model.linear(MODULE).inFeatures()];
            for (int i = 0; i < x.length; i++) {
                x[i] = (float) Math.sin(i);
            }
            float[] y = model.linear(MODULE).apply(model.ops(), x);
            assertEquals(model.linear(MODULE).outFeatures(), y.length);
            for (int i = 0; i < y.length; i++) {
                double expected = 0;
                for (int j = 0; j < x.length; j++) {
                    expected += (double) sum[i * x.length + j] * x[j];
                }
                assertClose("y " + i, y[i], expected, 1e-4, 1e-4);
            }
            assertFails(IllegalArgumentException.class, () -> model.linear(MODULE).apply(model.ops(), new float[3]), MODULE + ": x has shape [3]");
        });
    }

    @Test
    void aNewAdapterHasGradientsInBOnly() throws IOException {
        List<TokenizedRow> rows = List.of(new TokenizedRow(new int[] {1, 2, 3, 4, 5}, 2), new TokenizedRow(new int[] {3, 1, 4}, 1));
        with(LoadOptions.asStored(), (model, adapter) -> {
            AdapterGradients fresh = AdapterGradients.of(adapter, rows);
            assertEquals(List.copyOf(adapter.factors().keySet()), fresh.rows().stream().map(AdapterGradients.Row::module).toList());
            assertTrue(fresh.rows().stream().allMatch(row -> row.a() == 0 && row.b() > 0), fresh.toString());
            assertEquals(fresh, AdapterGradients.of(adapter, rows), "gradients are zero again afterwards");
            fillB(model, adapter, MODULE);
            assertTrue(AdapterGradients.of(adapter, rows).rows().getFirst().a() > 0);
            adapter.detach();
            assertFails(IllegalArgumentException.class, () -> AdapterGradients.of(adapter, rows), "gradients: the adapter is not in force; attach it first");
            adapter.attach();
            assertFails(IllegalArgumentException.class, () -> AdapterGradients.of(adapter, List.of(new TokenizedRow(new int[] {1, 2}, 2))), "gradients: 1 rows have no labelled token");
        });
    }

    @Test
    void anotherModuleIsNamed() throws IOException {
        with(LoadOptions.asStored(), (model, adapter) -> {
            assertFails(IllegalArgumentException.class, () -> LoraParts.of(adapter, "k_proj"), "LoRA parts: the adapter has nothing for \"k_proj\"; it has " + MODULE);
            assertFails(IllegalArgumentException.class, () -> Spectrum.of(adapter, "k_proj"), "spectrum: the adapter has nothing for \"k_proj\"; it has " + MODULE);
        });
    }
}
