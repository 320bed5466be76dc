package jqlora.inspect;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import jqlora.data.RowSource;
import jqlora.data.TokenizedRow;
import jqlora.train.TrainEvent;
import jqlora.train.TrainResult;
import org.junit.jupiter.api.Test;
import org.knowm.xchart.CategoryChart;
import org.knowm.xchart.XYChart;

/** Pictures of batches, and of several runs side by side. */
class BatchChartTest {
    @Test
    void everyTokenIsReadLearnedOrPadding() {
        TokenizedRow scattered = new TokenizedRow(new int[] {1, 2, 3, 4}, new boolean[] {true, false, true, false}, RowSource.NONE);
        CategoryChart chart = BatchChart.of(List.of(new TokenizedRow(new int[6], 4), scattered));
        assertEquals(Set.of("only read", "learned", "padding"), chart.getSeriesMap().keySet());
        assertEquals(List.of(4, 2), List.copyOf(chart.getSeriesMap().get("only read").getYData()));
        assertEquals(List.of(2, 2), List.copyOf(chart.getSeriesMap().get("learned").getYData()));
        assertEquals(List.of(0, 2), List.copyOf(chart.getSeriesMap().get("padding").getYData()));
        Pictures.assertDrawn(chart, "A batch of 2 rows", "row", "tokens");
        assertEquals(Set.of("only read", "learned"), BatchChart.of(List.of(scattered)).getSeriesMap().keySet(), "rows of one length need no padding");
        assertFails(IllegalArgumentException.class, () -> BatchChart.of(List.of()), "batch chart: there are no rows, there must be at least one");
    }

    private static TrainResult run(double... losses) {
        List<TrainEvent.StepEnd> steps = new ArrayList<>();
        for (double loss : losses) {
            steps.add(new TrainEvent.StepEnd(steps.size() + 1, 0, loss, 1, 1e-3, 10, 0.1, 100));
        }
        return new TrainResult(steps, List.of(), false);
    }

    @Test
    void runsAreComparedByTheirSmoothedLosses() {
        Map<String, TrainResult> runs = new LinkedHashMap<>();
        runs.put("0.002", run(4, 4, 4));
        runs.put("0.02", run(4, 9));
        XYChart chart = TrainingChart.compare(runs, "rates");
        Pictures.assertDrawn(chart, "rates", "step", "smoothed loss");
        assertEquals(List.of("0.002", "0.02"), List.copyOf(chart.getSeriesMap().keySet()));
        assertEquals(3, chart.getSeriesMap().get("0.002").getXData().length);
        assertEquals(TrainingChart.smoothed(new double[] {4, 9})[1], chart.getSeriesMap().get("0.02").getYData()[1]);
        assertFails(IllegalArgumentException.class, () -> TrainingChart.compare(Map.of(), "x"), "training chart: there is no run to compare");
        assertFails(IllegalArgumentException.class, () -> TrainingChart.compare(Map.of("a", run()), "x"), "training chart: the run \"a\" has no step");
    }
}
