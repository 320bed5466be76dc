package jqlora.inspect;

import java.math.BigDecimal;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.DoubleFunction;
import org.knowm.xchart.HeatMapChart;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.style.Styler;

/** One number for each module of a model, by its layer and its kind. */
public final class LayerChart {
    private static final int WIDTH = 640, HEIGHT = 380;
    private static final MathContext LEGEND_DIGITS = new MathContext(3);      // the legend of a heat map shows all digits that there are

    private LayerChart() { }

    /**
     * A line for each kind of module, over the layers.
     *
     * @param value what the numbers are
     * @param byModule a number for each module, such as {@code model.layers.3.mlp.up_proj}; at least one
     */
    public static XYChart lines(String title, String value, Map<String, Double> byModule) {
        XYChart chart = new XYChartBuilder().width(WIDTH).height(HEIGHT).title(title).xAxisTitle("layer").yAxisTitle(value).build();
        ChartStyle.apply(chart.getStyler());
        byKind(byModule).forEach((kind, line) -> chart.addSeries(kind, line.keySet().stream().mapToDouble(Integer::doubleValue).toArray(),
                line.values().stream().mapToDouble(Double::doubleValue).toArray()));
        if (byModule.values().stream().allMatch(number -> number >= 0)) {
            chart.getStyler().setYAxisMin(0.0);
        }
        chart.getStyler().setLegendPosition(Styler.LegendPosition.OutsideE).setLegendLayout(Styler.LegendLayout.Vertical);
        return ChartStyle.roundTicks(chart);
    }

    /**
     * Layers down, the first on top, kinds of modules across.
     *
     * @param byModule as for {@link #lines}
     * @param text how a number is written into its cell
     */
    public static HeatMapChart map(String title, Map<String, Double> byModule, DoubleFunction<String> text) {
        Map<String, Map<Integer, Double>> kinds = byKind(byModule);
        List<Integer> layers = List.copyOf(new TreeSet<>(kinds.values().stream().flatMap(line -> line.keySet().stream()).toList()));
        List<Number[]> cells = new ArrayList<>();
        List<String> columns = List.copyOf(kinds.keySet());
        for (int x = 0; x < columns.size(); x++) {
            for (int y = 0; y < layers.size(); y++) {
                Double number = kinds.get(columns.get(x)).get(layers.get(layers.size() - 1 - y));
                if (number != null) {
                    cells.add(new Number[] {x, y, number});
                }
            }
        }
        return cells(title, "module", columns, "layer", layers.reversed(), cells, text);
    }

    /** A heat map with numbers in its cells, in the house style. */
    static HeatMapChart cells(String title, String xTitle, List<?> x, String yTitle, List<?> y, List<Number[]> exact, DoubleFunction<String> text) {
        List<Number[]> cells = exact.stream().map(cell -> new Number[] {cell[0], cell[1], new BigDecimal(cell[2].doubleValue()).round(LEGEND_DIGITS).doubleValue()}).toList();
        HeatMapChart chart = ChartStyle.heatMap(WIDTH, Math.clamp(130 + 26L * y.size(), 220, 900), title, xTitle, yTitle, text);
        chart.addSeries("value", x, y, cells);
        return ChartStyle.showValues(chart, text);
    }

    private static Map<String, Map<Integer, Double>> byKind(Map<String, Double> byModule) {
        Map<String, Map<Integer, Double>> kinds = new LinkedHashMap<>();
        byModule.forEach((module, number) -> {
            ModulePlace place = ModulePlace.of(module);
            kinds.computeIfAbsent(place.kind(), none -> new TreeMap<>()).put(place.layer(), number);
        });
        return kinds;
    }
}
