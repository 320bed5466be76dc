package jqlora.experiment;

import static jqlora.Assert.assertClose;
import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import jqlora.lora.TargetModules;
import jqlora.train.TrainResult;
import org.junit.jupiter.api.Test;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.CategoryChart;
import tech.tablesaw.api.Table;

class GridResultTest {
    /** q is best at the low rate, all at the high one on the choosing rows; the reported rows would have chosen otherwise. */
    private static final GridResult RESULT = result(
            run("en", "q_proj", 1e-3, 1, 3.0, 3.2), run("en", "q_proj", 1e-2, 1, 3.5, 3.0),
            run("en", "all-linear", 1e-3, 1, 2.5, 2.4), run("en", "all-linear", 1e-2, 1, 2.0, 2.5),
            run("zh", "q_proj", 1e-3, 1, 5.0, 5.0), run("zh", "q_proj", 1e-2, 1, 4.0, 4.0),
            run("zh", "all-linear", 1e-3, 1, 4.1, 4.1), run("zh", "all-linear", 1e-2, 1, Double.POSITIVE_INFINITY, Double.POSITIVE_INFINITY));

    private static GridResult result(GridResult.Run... runs) {
        Map<String, GridResult.Losses> base = new LinkedHashMap<>();
        base.put("en", new GridResult.Losses(4, 4));
        base.put("zh", new GridResult.Losses(8, 8));
        return new GridResult(9_000, base, List.of(runs));
    }

    private static GridResult.Run run(String set, String targets, double rate, long seed, double choosing, double reported) {
        TargetModules modules = targets.equals("all-linear") ? new TargetModules.AllLinear() : TargetModules.names(targets);
        return new GridResult.Run(new GridCell(set, modules, rate, seed), targets.equals("all-linear") ? 1_000 : 100, new GridResult.Losses(choosing, reported), new TrainResult(List.of(), List.of(), false));
    }

    private static String row(Table table, int row) {
        return String.join(" ", table.columns().stream().map(column -> String.valueOf(column.get(row))).toList());
    }

    @Test
    void theChoosingRowsChooseTheRateAndTheOthersAreReported() {
        List<GridResult.Best> best = RESULT.best();
        assertEquals(List.of("en q_proj 0.001 3.2", "en all-linear 0.01 2.5", "zh q_proj 0.01 4.0", "zh all-linear 0.001 4.1"),
                best.stream().map(each -> each.dataSet() + " " + each.targets() + " " + each.learningRate() + " " + each.loss()).toList());
        assertTrue(best.stream().allMatch(GridResult.Best::atEnd), "of two rates each is an end");
        assertTrue(Double.isNaN(best.getFirst().spread()), "one seed has no spread");
        assertClose("gone", best.getFirst().gone(), 0.2, 1e-12, 0);
        assertEquals(1, best.getFirst().seeds());
        assertEquals(List.of("en q_proj 0.01 3.0", "zh q_proj 0.01 4.0"), RESULT.at(1e-2).best().stream().filter(each -> each.targets().equals("q_proj"))
                .map(each -> each.dataSet() + " " + each.targets() + " " + each.learningRate() + " " + each.loss()).toList());
        GridResult three = result(run("en", "q_proj", 1, 1, 3, 3), run("en", "q_proj", 3, 1, 2, 2), run("en", "q_proj", 2, 1, 1, 1));
        assertFalse(three.best().getFirst().atEnd(), "2 lies between 1 and 3");
    }

    @Test
    void moreSeedsGiveMeansSpreadsAndDoNotChangeTheChoice() {
        assertEquals(List.of("en, q_proj, learning rate 0.001, seed 2", "en, q_proj, learning rate 0.001, seed 3"), RESULT.bestWithSeeds(2, 3).subList(0, 2).stream().map(GridCell::toString).toList());
        assertEquals(8, RESULT.bestWithSeeds(2, 3).size());
        // seed 2 is worse on the choosing rows than the other rate with seed 1
        GridResult more = RESULT.plus(result(run("en", "q_proj", 1e-3, 2, 9, 3.4), run("en", "all-linear", 1e-2, 2, 2, 2.7), run("zh", "q_proj", 1e-2, 2, 4, 4.4)));
        GridResult.Best q = more.best().getFirst();
        assertEquals(1e-3, q.learningRate());
        assertEquals(2, q.seeds());
        assertClose("mean", q.loss(), 3.3, 1e-12, 0);
        assertClose("spread", q.spread(), Math.sqrt(0.02), 1e-9, 0);
        assertClose("pooled", more.spread(), Math.sqrt((0.02 + 0.02 + 0.08) / 3), 1e-9, 0);
        assertTrue(Double.isNaN(RESULT.spread()));

        List<GridResult.Lead> leads = more.leads();
        assertEquals("en all-linear q_proj true", leads.get(0).dataSet() + " " + leads.get(0).best() + " " + leads.get(0).next() + " " + leads.get(0).clear());
        assertClose("lead", leads.get(0).lead(), 0.7, 1e-9, 0);
        assertClose("its error", leads.get(0).error(), more.spread(), 1e-9, 0);
        assertEquals("zh all-linear q_proj false", leads.get(1).dataSet() + " " + leads.get(1).best() + " " + leads.get(1).next() + " " + leads.get(1).clear());
        assertClose("error with one seed and two", leads.get(1).error(), more.spread() * Math.sqrt(1.5), 1e-9, 0);
        assertFalse(RESULT.leads().getFirst().clear(), "without a spread nothing is clear");
        assertEquals(List.of(), result(run("en", "q_proj", 1, 1, 3, 3)).leads(), "nothing to be compared with");
    }

    @Test
    void tablesHaveARowForEachChoiceAndForEachDataSet() {
        Table table = RESULT.table();
        assertEquals(List.of("data set", "target modules", "numbers trained", "trainable", "best rate", "at an end", "seeds", "held-out loss", "spread", "of the base's gone"), table.columnNames());
        assertEquals("en all-linear 1000 0.1 0.01 true 1 2.5 null 0.375", row(table, 1));
        assertEquals(4, table.rowCount());
        Table ranking = RESULT.ranking();
        assertEquals(List.of("data set", "1.", "2."), ranking.columnNames());
        assertEquals(List.of("en all-linear q_proj", "zh q_proj all-linear"), List.of(row(ranking, 0), row(ranking, 1)));
        assertEquals(List.of("en"), RESULT.where(cell -> cell.dataSet().equals("en")).dataSets());
        assertEquals("8 trainings: 2 data sets, 2 choices of modules", RESULT.toString());
    }

    @Test
    void anInterplayIsWhatMeansOfDataAndModulesDoNotExplain() {
        GridResult none = result(run("en", "q_proj", 1, 1, 3, 3), run("en", "all-linear", 1, 1, 2, 2), run("zh", "q_proj", 1, 1, 4, 4), run("zh", "all-linear", 1, 1, 2, 2));
        assertClose("gone: 1/4, 1/2; 1/2, 3/4", none.interplay().size(), 0, 0, 1e-12);
        assertTrue(Double.isNaN(none.interplay().noise()) && Double.isNaN(none.interplay().chance()), "one seed");
        // 1/4, 1/2; 1/2, 1/4: means are all alike
        GridResult all = result(run("en", "q_proj", 1, 1, 3, 3), run("en", "all-linear", 1, 1, 2, 2), run("zh", "q_proj", 1, 1, 4, 4), run("zh", "all-linear", 1, 1, 6, 6));
        assertClose("each cell is an eighth off", all.interplay().size(), 0.25, 1e-12, 0);
        GridResult.Interplay noisy = all.plus(result(run("en", "q_proj", 1, 2, 3, 3.04), run("en", "all-linear", 1, 2, 2, 2), run("zh", "q_proj", 1, 2, 4, 4), run("zh", "all-linear", 1, 2, 6, 6))).interplay();
        assertClose("a spread of 0.01 in one of four cells, two seeds", noisy.noise(), Math.sqrt(0.01 * 0.01 / 2 / 4 / 2), 1e-9, 0);
        assertTrue(noisy.chance() < 1e-4, noisy.toString());
        List<String> cells = all.interplayMap().getSeriesMap().get("share").getHeatData().stream().map(cell -> ((Number[]) cell)[0] + "," + ((Number[]) cell)[1] + ": " + ((Number[]) cell)[2]).toList();
        assertEquals(List.of("0,1: -12.5", "1,1: 12.5", "0,0: 12.5", "1,0: -12.5"), cells);
        assertFails(IllegalArgumentException.class, () -> all.where(cell -> cell.dataSet().equals("en")).interplay(), "grid: an interplay needs at least two data sets");
        assertFails(IllegalArgumentException.class, () -> RESULT.at(1e-2).interplay(), "a finite loss everywhere");
    }

    @Test
    void resultsOfOneGridAreAddedAndOthersRefused() {
        assertEquals(RESULT, RESULT.plus(RESULT), "a cell counts once");
        GridResult other = new GridResult(9_000, Map.of("en", new GridResult.Losses(5, 5)), List.of());
        assertFails(IllegalArgumentException.class, () -> RESULT.plus(other), "grid: the base has", "on en in one result", "they must be of the same model and rows");
    }

    @Test
    void picturesShowWhatTheTableSays() {
        var map = RESULT.heatMap();
        assertEquals(List.of("q_proj", "all-linear"), map.getSeriesMap().get("share").getXData());
        assertEquals(List.of("zh", "en"), map.getSeriesMap().get("share").getYData(), "the first set on top");
        List<String> cells = map.getSeriesMap().get("share").getHeatData().stream().map(cell -> ((Number[]) cell)[0] + "," + ((Number[]) cell)[1] + ": " + ((Number[]) cell)[2]).toList();
        assertEquals(List.of("0,1: 0.2", "1,1: 0.375", "0,0: 0.5", "1,0: 0.488"), cells);

        CategoryChart curves = RESULT.curves("zh");
        assertEquals(List.of("0.001", "0.01"), List.copyOf(curves.getSeriesMap().get("q_proj").getXData()));
        assertEquals(List.of(5.0, 4.0), new ArrayList<>(curves.getSeriesMap().get("q_proj").getYData()));
        assertEquals(2, curves.getSeriesMap().get("all-linear").getYData().size(), "the rate at which it diverged has no point");
        assertFails(IllegalArgumentException.class, () -> RESULT.curves("ja"), "grid: there is no run on \"ja\"; there are runs on en, zh");

        CategoryChart bars = RESULT.plus(result(run("en", "q_proj", 1e-3, 2, 9, 3.4))).bars();
        assertClose("bars", bars.getSeriesMap().get("q_proj").getYData().stream().mapToDouble(Number::doubleValue).toArray(), new double[] {17.5, 50}, 1e-9, 0);
        assertClose("error bars", bars.getSeriesMap().get("q_proj").getExtraValues().stream().mapToDouble(Number::doubleValue).toArray(), new double[] {100 * Math.sqrt(0.02) / 4, 0}, 1e-9, 0);
        for (var chart : List.of(map, curves, bars)) {
            assertEquals(640, BitmapEncoder.getBufferedImage(chart).getWidth(), "it can be drawn");
        }
    }
}
