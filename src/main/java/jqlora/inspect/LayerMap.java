package jqlora.inspect;

import java.math.BigDecimal;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.knowm.xchart.HeatMapChart;

/** A number for each module of a model as a picture: layers from left to right, kinds of modules from top to bottom. */
final class LayerMap {
    private static final int WIDTH = 640, TOP_AND_BOTTOM = 150, ROW = 34;
    private static final MathContext LEGEND_DIGITS = new MathContext(3);      // the legend of a heat map shows all digits that there are

    private LayerMap() { }

    /**
     * The picture of {@code shares}, in percent, which stand in the cells where they fit; the darker, the larger. Kinds come in the order of the map.
     *
     * @param shares module to share, at least one
     */
    static HeatMapChart ofShares(String title, Map<String, Double> shares) {
        List<String> kinds = shares.keySet().stream().map(module -> ModulePlace.of(module).kind()).distinct().toList();
        List<Integer> layers = shares.keySet().stream().map(module -> ModulePlace.of(module).layer()).distinct().sorted().toList();
        List<Number[]> cells = new ArrayList<>();
        shares.forEach((module, share) -> cells.add(new Number[] {layers.indexOf(ModulePlace.of(module).layer()), kinds.size() - 1 - kinds.indexOf(ModulePlace.of(module).kind()),
                new BigDecimal(100 * share).round(LEGEND_DIGITS).doubleValue()}));
        NumberText text = NumberText.ofShares(cells.stream().mapToDouble(cell -> cell[2].doubleValue()).toArray());
        HeatMapChart chart = ChartStyle.heatMap(WIDTH, TOP_AND_BOTTOM + ROW * kinds.size(), title, "layer", "", value -> text.of(value) + "%");
        chart.addSeries("share", layers, kinds.reversed(), cells);
        return ChartStyle.showValues(chart, value -> value == 0 ? "0" : text.of(value) + "%");
    }
}
