package jqlora.inspect;

import java.awt.Color;
import java.util.List;
import java.util.function.ToIntFunction;
import java.util.stream.IntStream;
import jqlora.data.TokenizedRow;
import org.knowm.xchart.CategoryChart;
import org.knowm.xchart.CategoryChartBuilder;

/** A batch as a picture: what of each row is only read, what is learned, and what padding would fill it up to the longest row. */
public final class BatchChart {
    private static final Color PADDING = new Color(0x80, 0x80, 0x80, 0x50);
    private static final int WIDTH = 640, HEIGHT = 340;

    private BatchChart() { }

    /**
     * A bar for each row, its tokens one on the other.
     *
     * @throws IllegalArgumentException if there is no row
     */
    public static CategoryChart of(List<TokenizedRow> rows) {
        if (rows.isEmpty()) {
            throw new IllegalArgumentException("batch chart: there are no rows, there must be at least one");
        }
        int longest = rows.stream().mapToInt(TokenizedRow::length).max().orElseThrow();
        CategoryChart chart = new CategoryChartBuilder().width(WIDTH).height(HEIGHT).title("A batch of " + rows.size() + (rows.size() == 1 ? " row" : " rows"))
                .xAxisTitle("row").yAxisTitle("tokens").build();
        ChartStyle.apply(chart.getStyler());
        chart.getStyler().setStacked(true).setAvailableSpaceFill(0.8);
        add(chart, "only read", rows, row -> row.length() - learned(row));
        add(chart, "learned", rows, BatchChart::learned);
        if (rows.stream().anyMatch(row -> row.length() < longest)) {
            add(chart, "padding", rows, row -> longest - row.length());
            chart.getSeriesMap().get("padding").setFillColor(PADDING);
        }
        return chart;
    }

    private static int learned(TokenizedRow row) {
        return (int) IntStream.range(0, row.length()).filter(row::isLearned).count();
    }

    private static void add(CategoryChart chart, String name, List<TokenizedRow> rows, ToIntFunction<TokenizedRow> tokens) {
        chart.addSeries(name, IntStream.rangeClosed(1, rows.size()).boxed().toList(), rows.stream().map(tokens::applyAsInt).toList());
    }
}
