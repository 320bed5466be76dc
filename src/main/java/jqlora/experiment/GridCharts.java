package jqlora.experiment;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.DoubleFunction;
import jqlora.inspect.ChartStyle;
import jqlora.inspect.NumberText;
import org.knowm.xchart.CategoryChart;
import org.knowm.xchart.CategoryChartBuilder;
import org.knowm.xchart.CategorySeries;
import org.knowm.xchart.HeatMapChart;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** The pictures of a {@link GridResult}. */
final class GridCharts {
    private static final int WIDTH = 640, HEIGHT = 380;

    private GridCharts() { }

    static HeatMapChart heatMap(GridResult result) {
        List<String> sets = result.dataSets(), targets = result.targets();
        List<Number[]> cells = new ArrayList<>();
        for (GridResult.Best each : result.best()) {
            if (Double.isFinite(each.gone())) {
                cells.add(new Number[] {targets.indexOf(each.targets()), sets.size() - 1 - sets.indexOf(each.dataSet()), Math.round(1000 * each.gone()) / 1000.0});
            }
        }
        return map("Share of the base's held-out loss that is gone", result, cells, value -> Math.round(1000 * value) / 10.0 + "%");
    }

    static HeatMapChart interplay(GridResult result) {
        double[][] left = result.left();
        List<Number[]> cells = new ArrayList<>();
        for (int i = 0; i < left.length; i++) {
            for (int j = 0; j < left[i].length; j++) {
                cells.add(new Number[] {j, left.length - 1 - i, Math.round(1000 * left[i][j]) / 10.0});
            }
        }
        return map("Percentage points left after both means", result, cells, value -> String.format(Locale.ROOT, "%+.1f", value));
    }

    private static HeatMapChart map(String title, GridResult result, List<Number[]> cells, DoubleFunction<String> text) {
        List<String> sets = result.dataSets();
        HeatMapChart chart = ChartStyle.heatMap(WIDTH, 150 + 60 * sets.size(), title, "target modules", "data set", text);
        chart.addSeries("share", result.targets(), sets.reversed(), cells);
        return ChartStyle.showValues(chart, text);
    }

    static CategoryChart curves(GridResult result, String dataSet) {
        List<GridResult.Run> runs = result.runs().stream().filter(run -> run.cell().dataSet().equals(dataSet)).toList();
        if (runs.isEmpty()) {
            throw new IllegalArgumentException("grid: there is no run on \"" + dataSet + "\"; there are runs on " + String.join(", ", result.dataSets()));
        }
        List<Double> rates = runs.stream().map(run -> run.cell().learningRate()).distinct().sorted().toList();
        CategoryChart chart = new CategoryChartBuilder().width(WIDTH).height(HEIGHT).title(dataSet).xAxisTitle("learning rate").yAxisTitle("held-out loss").build();
        ChartStyle.apply(chart.getStyler());
        chart.getStyler().setDefaultSeriesRenderStyle(CategorySeries.CategorySeriesRenderStyle.Line);
        chart.getStyler().setOverlapped(true);                    // points of one rate stand above each other
        for (String targets : result.targets()) {
            List<Double> losses = new ArrayList<>();
            for (double rate : rates) {
                double mean = runs.stream().filter(run -> run.cell().targets().text().equals(targets) && run.cell().learningRate() == rate)
                        .mapToDouble(run -> run.losses().choosing()).average().orElse(Double.NaN);
                losses.add(Double.isFinite(mean) ? mean : null);
            }
            if (losses.stream().anyMatch(loss -> loss != null)) {
                chart.addSeries(targets, rates.stream().map(rate -> NumberText.alone(rate, 3)).toList(), losses).setMarker(SeriesMarkers.CIRCLE);
            }
        }
        return chart;
    }

    static CategoryChart bars(GridResult result) {
        List<String> sets = result.dataSets();
        List<GridResult.Best> best = result.best();
        CategoryChart chart = new CategoryChartBuilder().width(WIDTH).height(HEIGHT).title("Loss that is gone, and the spread of the seeds").xAxisTitle("data set")
                .yAxisTitle("percent of the base's held-out loss").build();
        ChartStyle.apply(chart.getStyler());
        chart.getStyler().setErrorBarsColor(ChartStyle.INK);
        chart.getStyler().setErrorBarsColorSeriesColor(false);
        for (String targets : result.targets()) {
            List<Double> gone = new ArrayList<>(), spread = new ArrayList<>();
            for (String set : sets) {
                GridResult.Best here = best.stream().filter(each -> each.dataSet().equals(set) && each.targets().equals(targets)).findFirst().orElse(null);
                boolean drawn = here != null && Double.isFinite(here.gone());
                gone.add(drawn ? 100 * here.gone() : 0.0);
                spread.add(drawn && here.seeds() > 1 ? 100 * here.spread() / result.base().get(set).reported() : 0.0);
            }
            chart.addSeries(targets, sets, gone, spread);
        }
        return chart;
    }
}
