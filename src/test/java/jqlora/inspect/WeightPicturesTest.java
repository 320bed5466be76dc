package jqlora.inspect;

import static jqlora.Assert.assertClose;
import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import jqlora.Oracle;
import jqlora.format.Checkpoint;
import jqlora.tensor.ShapeException;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.Test;
import org.knowm.xchart.HeatMapChart;
import org.knowm.xchart.XYChart;

/** Statistics and pictures of weights as they are. */
class WeightPicturesTest {
    private static TensorView bell(int rows, int columns) {
        Random random = new Random(5);
        float[] values = new float[rows * columns];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return TensorView.ofFloats(values, rows, columns);
    }

    @Test
    void statisticsAreThoseOfTheNumbers() {
        // mean 1, distances -1, 1, -3, 3
        WeightStats stats = WeightStats.of("w", TensorView.ofFloats(new float[] {0, 2, -2, 4}, 2, 2));
        assertEquals(new WeightStats("w", "[2, 2]", 1, Math.sqrt(5), -2, 4, 3 / Math.sqrt(5), 0, stats.kurtosis()), stats);
        assertClose("kurtosis", stats.kurtosis(), (1 + 1 + 81 + 81) / 4.0 / 25, 1e-12, 0);
        WeightStats bell = WeightStats.of("bell", bell(1024, 1024));
        assertClose("kurtosis of a bell curve", bell.kurtosis(), 3, 0.02, 0);
        assertClose("beyond four deviations", bell.beyond4(), 6.3e-5, 0.4, 0);
        float[] outlier = bell(16, 16).toFloats();
        outlier[3] = 100;
        WeightStats heavy = WeightStats.of("outlier", TensorView.ofFloats(outlier, 16, 16));
        assertTrue(heavy.farthest() > 10 && heavy.kurtosis() > 50 && heavy.beyond4() == 1 / 256.0, heavy.toString());
        assertTrue(Double.isNaN(WeightStats.of("equal", TensorView.ofFloats(new float[4], 4)).kurtosis()));
        assertFails(IllegalArgumentException.class, () -> WeightStats.of("none", TensorView.ofFloats(new float[0], 0)), "weight statistics: none F32 [0] has no number");
    }

    @Test
    void everyMatrixOfTheLayersHasARow() throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(Oracle.path("families/llama"))) {
            List<WeightStats> all = WeightStats.ofLayers(checkpoint);
            assertEquals(14, all.size(), "seven projections in two layers");
            String q = "model.layers.0.self_attn.q_proj";
            assertEquals(WeightStats.of(q, checkpoint.get(q + ".weight")), all.stream().filter(stats -> stats.name().equals(q)).findFirst().orElseThrow());
        }
    }

    @Test
    void aHistogramHasALineForEachTensor() {
        Map<String, TensorView> tensors = new LinkedHashMap<>();
        tensors.put("wide", TensorView.ofFloats(new float[] {-2, 0, 2, 2}, 4));
        tensors.put("narrow", TensorView.ofFloats(new float[] {0, 0.04f}, 2));
        XYChart chart = WeightHistogram.of("Two", tensors);
        Pictures.assertDrawn(chart, "Two", "weight", "share of the weights");
        double[] x = chart.getSeriesMap().get("wide").getXData(), y = chart.getSeriesMap().get("wide").getYData();
        assertArrayEquals(new double[] {-2, 0, 2}, new double[] {x[0], x[40], x[80]});
        assertArrayEquals(new double[] {0.25, 0.25, 0.5}, new double[] {y[0], y[40], y[80]});
        assertArrayEquals(new double[] {0.5, 0.5}, Arrays.copyOfRange(chart.getSeriesMap().get("narrow").getYData(), 40, 42));
    }

    @Test
    void tailsStandBesideABellCurve() {
        XYChart chart = WeightHistogram.tails("Tails", Map.of("w", bell(256, 256)));
        Pictures.assertDrawn(chart, "Tails", "distance from the mean, in standard deviations", "share of the weights");
        double[] w = chart.getSeriesMap().get("w").getYData(), bell = chart.getSeriesMap().get("bell curve").getYData();
        for (int i = 25; i < 56; i++) {                           // three deviations to both sides
            assertClose("bin " + i, w[i], bell[i], 0.2, 1e-4);
        }
        assertTrue(Double.isNaN(w[0]), "no number there: a gap on a logarithmic axis");
    }

    @Test
    void aMapShowsWhereNumbersAreLarge() {
        float[] values = new float[96 * 64];
        values[5 * 64 + 3] = -8;
        HeatMapChart chart = WeightMap.of("One number", TensorView.ofFloats(values, 96, 64));
        Pictures.assertDrawn(chart, "One number", "input features", "output features");
        List<Number[]> cells = chart.getSeriesMap().get("size").getHeatData().stream().map(cell -> (Number[]) cell).toList();
        assertEquals(48 * 48, cells.size());
        // row 5 of 96 in the third of 48 cells, column 3 of 64 too
        List<String> filled = cells.stream().filter(cell -> cell[2].doubleValue() != 0).map(cell -> cell[0] + "," + cell[1]).toList();
        assertEquals(List.of("2,2"), filled);
        assertTrue(WeightMap.of("Small", TensorView.ofFloats(new float[] {2e-5f}, 1, 1)).getTitle().endsWith(", in millionths"));
        assertFails(ShapeException.class, () -> WeightMap.of("", TensorView.ofFloats(new float[4], 4)), "weight map: the tensor is F32 [4], it must be [out, in]");
    }

    @Test
    void oneNumberAModuleIsALineOverTheLayersOrACell() {
        Map<String, Double> numbers = new LinkedHashMap<>();
        numbers.put("model.layers.0.self_attn.q_proj", 0.1);
        numbers.put("model.layers.0.mlp.up_proj", 0.2);
        numbers.put("model.layers.3.mlp.up_proj", 0.3);
        XYChart lines = LayerChart.lines("Lines", "number", numbers);
        Pictures.assertDrawn(lines, "Lines", "layer", "number");
        assertArrayEquals(new double[] {0, 3}, lines.getSeriesMap().get("up_proj").getXData());
        HeatMapChart map = LayerChart.map("Map", numbers, value -> NumberText.alone(value, 2));
        Pictures.assertDrawn(map, "Map", "module", "layer");
        assertEquals(List.of("q_proj", "up_proj"), map.getSeriesMap().get("value").getXData());
        assertEquals(List.of(3, 0), map.getSeriesMap().get("value").getYData(), "the first layer on top");
        assertEquals(List.of("0,1: 0.1", "1,0: 0.3", "1,1: 0.2"), map.getSeriesMap().get("value").getHeatData().stream()
                .map(cell -> ((Number[]) cell)[0] + "," + ((Number[]) cell)[1] + ": " + ((Number[]) cell)[2]).toList());
    }
}
