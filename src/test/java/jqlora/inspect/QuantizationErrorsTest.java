package jqlora.inspect;

import static jqlora.Assert.assertClose;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.List;
import jqlora.Oracle;
import jqlora.format.Checkpoint;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.ModelLoader;
import jqlora.ops.cpu.CpuOps;
import jqlora.quant.FourBitFormat;
import jqlora.quant.FourBitType;
import jqlora.quant.PlainFourBitCodec;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.knowm.xchart.XYChart;
import tech.tablesaw.api.Table;

class QuantizationErrorsTest {
    private static QuantizationErrors errors(LoadOptions options) throws IOException {
        Path folder = Oracle.path("families/llama");
        try (CpuOps ops = CpuOps.create(); CausalLm model = ModelLoader.load(folder, options, ops, LoadListener.SILENT); Checkpoint original = Checkpoint.open(folder)) {
            return QuantizationErrors.of(model, original);
        }
    }

    @ParameterizedTest
    @EnumSource(FourBitType.class)
    void everyRowIsWhatTheReferenceCodecCosts(FourBitType type) throws IOException {
        FourBitFormat format = FourBitFormat.defaults().withType(type);
        QuantizationErrors errors = errors(LoadOptions.defaults().withQuantization(format));
        assertEquals(14, errors.rows().size(), "seven projections in two layers; the head is not quantized");
        PlainFourBitCodec codec = new PlainFourBitCodec();
        try (Checkpoint original = Checkpoint.open(Oracle.path("families/llama")); Arena arena = Arena.ofConfined()) {
            for (QuantizationErrors.Row row : errors.rows()) {
                TensorView weight = original.get(row.module() + ".weight");
                float[] exact = weight.toFloats(), decoded = new float[exact.length];
                codec.dequantize(codec.quantize(weight, format, arena), 0, decoded.length, decoded, 0);
                double squares = 0, wrong = 0, largest = 0;
                for (int i = 0; i < exact.length; i++) {
                    double error = (double) exact[i] - decoded[i];
                    squares += (double) exact[i] * exact[i];
                    wrong += error * error;
                    largest = Math.max(largest, Math.abs(error));
                }
                assertClose(row.module() + ": relative", row.relative(), Math.sqrt(wrong / squares), 1e-12, 0);
                assertEquals(largest, row.largest(), row.module() + ": largest");
                assertEquals(8.0 * format.byteSize(exact.length) / exact.length, row.bits(), row.module() + ": bits");
            }
        }
    }

    @Test
    void theTableHasARowForEachWeight() throws IOException {
        QuantizationErrors errors = errors(LoadOptions.defaults());
        Table table = errors.table();
        assertEquals(List.of("module", "relative error", "largest error", "bits per parameter"), table.columnNames());
        assertEquals(errors.rows(), table.stream().map(row -> new QuantizationErrors.Row(row.getString(0), row.getDouble(1), row.getDouble(2), row.getDouble(3))).toList());
    }

    @Test
    void theChartHasALineForEachKindAtTheLayersThatAreQuantized() throws IOException {
        XYChart chart = errors(LoadOptions.defaults().withSkipModules(List.of("layers.0.mlp.down_proj"))).chart();
        Pictures.assertDrawn(chart, "Quantization error by layer", "layer", "relative error");
        assertEquals(List.of("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"), List.copyOf(chart.getSeriesMap().keySet()));
        assertArrayEquals(new double[] {0, 1}, chart.getSeriesMap().get("q_proj").getXData());
        assertArrayEquals(new double[] {1}, chart.getSeriesMap().get("down_proj").getXData(), "layer 0's was not quantized");
    }
}
