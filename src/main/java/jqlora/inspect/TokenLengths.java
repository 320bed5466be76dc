package jqlora.inspect;

import java.awt.Color;
import java.util.List;
import jqlora.data.TokenizedRow;
import jqlora.data.TokenizedSet;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.style.markers.SeriesMarkers;

/**
 * How long the rows of a data set are, in tokens: what decides on memory and time, before anything is trained.
 *
 * @param rows tokens of each row as it is trained on, the shortest first; at least one
 * @param trained tokens of each row that the loss counts, the fewest first; as many as rows
 * @param promptsCut rows whose prompt lost its end
 * @param answersCut rows whose answer lost its end
 */
public record TokenLengths(List<Integer> rows, List<Integer> trained, int promptsCut, int answersCut) {
    private static final int MOST_BINS = 30, WIDTH = 640, HEIGHT = 320, OPACITY = 110;

    public TokenLengths {
        rows = rows.stream().sorted().toList();
        trained = trained.stream().sorted().toList();
        if (rows.isEmpty() || rows.size() != trained.size()) {
            throw new IllegalArgumentException("token lengths: there are " + rows.size() + " rows and the trained tokens of " + trained.size()
                    + ", there must be equally many, and at least one");
        }
    }

    /** @throws IllegalArgumentException if {@code set} has no rows */
    public static TokenLengths of(TokenizedSet set) {
        return new TokenLengths(set.rows().stream().map(TokenizedRow::length).toList(), set.rows().stream().map(TokenizedRow::labelledTokens).toList(),
                set.promptsCut(), set.answersCut());
    }

    /** Tokens of all rows. */
    public long tokens() {
        return rows.stream().mapToLong(Integer::longValue).sum();
    }

    /** The share of all tokens that the loss counts, 0 to 1. */
    public double trainedShare() {
        return (double) trained.stream().mapToLong(Integer::longValue).sum() / tokens();
    }

    /** The middle row's length; of an even number of rows the longer one of the two. */
    public int median() {
        return rows.get(rows.size() / 2);
    }

    /**
     * The least length that {@code share} of the rows do not exceed.
     *
     * @param share 0 to 1, such as 0.95
     */
    public int quantile(double share) {
        if (!(share >= 0 && share <= 1)) {
            throw new IllegalArgumentException("token lengths: share is " + share + ", it must be between 0 and 1");
        }
        return rows.get((int) Math.max(0, Math.ceil(share * rows.size()) - 1));
    }

    public int longest() {
        return rows.getLast();
    }

    /** How many rows have which length, and how many have so many trained tokens; in at most {@value #MOST_BINS} bins of equal width. */
    public XYChart chart() {
        int width = 1;
        for (int i = 0; longest() / width >= MOST_BINS; i++) {
            width = i % 3 == 1 ? width / 2 * 5 : width * 2;           // 1, 2, 5, 10, 20, 50 ...
        }
        XYChart chart = new XYChartBuilder().width(WIDTH).height(HEIGHT).title("Lengths of " + rows.size() + " rows").xAxisTitle("tokens").yAxisTitle("rows").build();
        ChartStyle.apply(chart.getStyler());
        chart.getStyler().setDefaultSeriesRenderStyle(XYSeries.XYSeriesRenderStyle.StepArea);
        add(chart, "whole row", rows, width, ChartStyle.series().getFirst());
        add(chart, "trained on", trained, width, ChartStyle.series().get(1));
        return ChartStyle.roundTicks(chart);
    }

    private void add(XYChart chart, String name, List<Integer> lengths, int width, Color colour) {
        double[] edges = new double[longest() / width + 2], counts = new double[edges.length];    // the last edge closes the last bar
        for (int bin = 0; bin < edges.length; bin++) {
            edges[bin] = bin * width;
        }
        lengths.forEach(length -> counts[length / width]++);
        XYSeries series = chart.addSeries(name, edges, counts);
        series.setMarker(SeriesMarkers.NONE).setLineColor(colour).setFillColor(new Color(colour.getRed(), colour.getGreen(), colour.getBlue(), OPACITY));
    }

    /** Such as {@code 24 rows, 1632 tokens, median 68, longest 83}. */
    @Override
    public String toString() {
        return rows.size() + " rows, " + tokens() + " tokens, median " + median() + ", longest " + longest();
    }
}
