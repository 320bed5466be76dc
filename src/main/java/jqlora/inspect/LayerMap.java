package jqlora.inspect;

import java.math.BigDecimal;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.knowm.xchart.HeatMapChart;
import org.knowm.xchart.HeatMapChartBuilder;
import org.knowm.xchart.style.Styler;

/** A number for each module of a model as a picture: layers from left to right, kinds of modules from top to bottom. */
final class LayerMap {
    private static final Pattern LAYER = Pattern.compile("\\.(\\d+)\\.");
    private static final int WIDTH = 640, TOP_AND_BOTTOM = 150, ROW = 34;
    private static final MathContext LEGEND_DIGITS = new MathContext(3);      // the legend of a heat map shows all digits that there are

    private LayerMap() { }

    /** The last part of {@code module}, such as {@code q_proj}. */
    static String kind(String module) {
        return module.substring(module.lastIndexOf('.') + 1);
    }

    /** The first number in {@code module}: 3 in {@code model.layers.3.mlp.up_proj}; 0 where there is none. */
    static int layer(String module) {
        Matcher number = LAYER.matcher(module);
        return number.find() ? Integer.parseInt(number.group(1)) : 0;
    }

    /**
     * The picture of {@code shares}, in percent, which stand in the cells where they fit; the darker, the larger. Kinds come in the order of the map.
     *
     * @param shares module to share, at least one
     */
    static HeatMapChart ofShares(String title, Map<String, Double> shares) {
        List<String> kinds = shares.keySet().stream().map(LayerMap::kind).distinct().toList();
        List<Integer> layers = shares.keySet().stream().map(LayerMap::layer).distinct().sorted().toList();
        List<Number[]> cells = new ArrayList<>();
        shares.forEach((module, share) -> cells.add(new Number[] {layers.indexOf(layer(module)), kinds.size() - 1 - kinds.indexOf(kind(module)),
                new BigDecimal(100 * share).round(LEGEND_DIGITS).doubleValue()}));
        HeatMapChart chart = new HeatMapChartBuilder().width(WIDTH).height(TOP_AND_BOTTOM + ROW * kinds.size()).title(title).xAxisTitle("layer").build();
        ChartStyle.apply(chart.getStyler());
        chart.getStyler().setLegendPosition(Styler.LegendPosition.OutsideE).setLegendLayout(Styler.LegendLayout.Vertical);
        NumberText text = NumberText.ofShares(cells.stream().mapToDouble(cell -> cell[2].doubleValue()).toArray());
        chart.getStyler().setHeatMapDecimalValueFormatter(value -> text.of(value) + "%");
        chart.addSeries("share", layers, kinds.reversed(), cells);
        return ChartStyle.showValues(chart, value -> value == 0 ? "0" : text.of(value) + "%");
    }
}
