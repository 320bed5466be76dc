package jqlora.inspect;

import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import jqlora.format.Checkpoint;
import jqlora.model.CausalLm;
import jqlora.model.Linear;
import jqlora.ops.Weight;
import jqlora.tensor.Tensor;
import org.knowm.xchart.XYChart;
import tech.tablesaw.api.DoubleColumn;
import tech.tablesaw.api.StringColumn;
import tech.tablesaw.api.Table;

/** What quantization did to each 4-bit weight of a model, against the checkpoint that it was loaded from. */
public record QuantizationErrors(List<Row> rows) {
    public QuantizationErrors {
        rows = List.copyOf(rows);
    }

    /**
     * @param relative norm of the error against the norm of the weight
     * @param largest error of one number
     * @param bits per parameter, absmax values included
     */
    public record Row(String module, double relative, double largest, double bits) {
        /** The last part of the name, such as {@code q_proj}. */
        public String kind() {
            return ModulePlace.of(module).kind();
        }

        /** The first number in the name: 3 in {@code model.layers.3.mlp.up_proj}. */
        public int layer() {
            return ModulePlace.of(module).layer();
        }
    }

    /** @param original the checkpoint before quantization */
    public static QuantizationErrors of(CausalLm model, Checkpoint original) throws IOException {
        List<Row> rows = new ArrayList<>();
        for (Linear linear : model.linears().values()) {
            if (linear.weight() instanceof Weight.FourBit fourBit) {
                float[] exact = original.get(linear.name() + ".weight").toFloats(), decoded;
                try (Tensor tensor = model.ops().toFloat(fourBit)) {
                    decoded = model.ops().download(tensor).toFloats();
                }
                WeightError error = WeightError.of(linear.name(), exact, decoded, 8.0 * fourBit.byteSize() / exact.length);
                rows.add(new Row(linear.name(), error.relative(), error.largest(), error.bits()));
            }
        }
        return new QuantizationErrors(rows);
    }

    /** A row for each weight. */
    public Table table() {
        StringColumn modules = StringColumn.create("module");
        DoubleColumn relative = Shares.column("relative error", 2), largest = DoubleColumn.create("largest error"), bits = DoubleColumn.create("bits per parameter");
        for (Row row : rows) {
            modules.append(row.module);
            relative.append(row.relative);
            largest.append(row.largest);
            bits.append(row.bits);
        }
        return Table.create("Quantization error", modules, relative, largest, bits);
    }

    /** The relative error over the layers, a line for each kind of module. */
    public XYChart chart() {
        Map<String, Double> relative = new LinkedHashMap<>();
        rows.forEach(row -> relative.put(row.module, row.relative));
        return LayerChart.lines("Quantization error by layer", "relative error", relative);
    }
}
