package jqlora.experiment;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import jqlora.lora.MergeRoute;
import jqlora.train.TrainEvent;
import jqlora.train.TrainResult;
import org.junit.jupiter.api.Test;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.HeatMapChart;
import tech.tablesaw.api.Table;

class ExperimentResultTest {
    private static final ExperimentResult RESULT = new ExperimentResult(
            List.of(run("en", "q_proj", 1000, 2, 100, 3_000_000, 1.25), run("zh", "v_proj", 500, 4, 800, 2_500_000, 2.5)),
            List.of(4.0, 5.0), List.of(List.of(1.0, 5.5), List.of(3.0, 2.0)));

    private static ExperimentResult.Run run(String set, String targets, long parameters, double seconds, long tokens, long bytes, double merged) {
        TrainEvent.StepEnd first = new TrainEvent.StepEnd(1, 0.5, 4, 1, 1e-3, tokens / 2, seconds / 2, bytes), last = new TrainEvent.StepEnd(2, 1, 3, 1, 1e-3, tokens / 2, seconds / 2, bytes - 1);
        return new ExperimentResult.Run(set, targets, parameters, new TrainResult(List.of(first, last), List.of(), false), merged, MergeRoute.ORIGINAL_TO_4BIT);
    }

    @Test
    void theTableHasARowForEachAdapterWithUnits() {
        Table table = RESULT.table();
        assertEquals(List.of("data set", "target modules", "parameters", "loss before", "loss after", "loss merged", "seconds", "tokens/s", "peak MB"), table.columnNames());
        assertEquals("en q_proj 1000 4.0 1.0 1.25 2.0 50.0 3.0", row(table, 0));
        // after is the adapter's own data set: the diagonal
        assertEquals("zh v_proj 500 5.0 2.0 2.5 4.0 200.0 2.5", row(table, 1));
        assertEquals(2, table.rowCount());
    }

    @Test
    void theMatrixHasTheBaseAndEveryAdapterOnEveryDataSet() {
        Table matrix = RESULT.matrix();
        assertEquals(List.of("adapter", "en", "zh"), matrix.columnNames());
        assertEquals(List.of("base, no adapter 4.0 5.0", "en (q_proj) 1.0 5.5", "zh (v_proj) 3.0 2.0"), List.of(row(matrix, 0), row(matrix, 1), row(matrix, 2)));
    }

    @Test
    void thePictureShowsTheShareOfTheLossThatIsGone() {
        HeatMapChart chart = RESULT.matrixChart();
        var series = chart.getSeriesMap().get("share");
        assertEquals(List.of("en", "zh"), series.getXData());
        assertEquals(List.of("zh", "en"), series.getYData(), "the first adapter on top");
        List<String> cells = series.getHeatData().stream().map(cell -> ((Number[]) cell)[0] + "," + ((Number[]) cell)[1] + ": " + ((Number[]) cell)[2]).toList();
        assertEquals(List.of("0,1: 0.75", "1,1: -0.1", "0,0: 0.25", "1,0: 0.6"), cells);
        assertTrue(BitmapEncoder.getBufferedImage(chart).getWidth() == 640, "it can be drawn");
    }

    private static String row(Table table, int row) {
        return String.join(" ", table.columns().stream().map(column -> String.valueOf(column.get(row))).toList());
    }
}
