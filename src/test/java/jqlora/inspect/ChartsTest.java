package jqlora.inspect;

import static jqlora.Assert.assertClose;
import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;
import jqlora.quant.FourBitType;
import jqlora.train.TrainEvent;
import jqlora.train.TrainResult;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.style.markers.SeriesMarkers;

class ChartsTest {
    private static TrainResult result(boolean evaluated, double... losses) {
        List<TrainEvent.StepEnd> steps = new ArrayList<>();
        for (double loss : losses) {
            steps.add(new TrainEvent.StepEnd(steps.size() + 1, 0, loss, 1, 1e-3, 10, 0.1, 100));
        }
        return new TrainResult(steps, evaluated ? List.of(new TrainEvent.Evaluated(0, 5), new TrainEvent.Evaluated(losses.length, 2)) : List.of(), false);
    }

    @Test
    void aRunHasItsLossASmoothedOneAndTheHeldOutOne() {
        XYChart chart = TrainingChart.of(result(true, 4, 4, 1), "zh-riddles");
        Pictures.assertDrawn(chart, "zh-riddles", "step", "loss");
        assertEquals(Set.of("step", "smoothed", "held out"), chart.getSeriesMap().keySet());
        assertArrayEquals(new double[] {1, 2, 3}, chart.getSeriesMap().get("step").getXData());
        assertArrayEquals(new double[] {4, 4, 1}, chart.getSeriesMap().get("step").getYData());
        // weights 0.081, 0.09, 0.1 of the last three, made to sum to 1
        assertClose("smoothed", chart.getSeriesMap().get("smoothed").getYData(), new double[] {4, 4, (4 * 0.171 + 0.1) / 0.271}, 1e-12, 0);
        assertArrayEquals(new double[] {0, 3}, chart.getSeriesMap().get("held out").getXData());
        assertArrayEquals(new double[] {5, 2}, chart.getSeriesMap().get("held out").getYData());
        assertEquals(SeriesMarkers.CIRCLE, chart.getSeriesMap().get("held out").getMarker(), "a single point is seen");
        assertEquals(Set.of("held out"), TrainingChart.of(List.of(), result(true, 4).evaluations(), "x").getSeriesMap().keySet(), "before the first step");
        assertEquals(Set.of("step", "smoothed"), TrainingChart.of(result(false, 4), "x").getSeriesMap().keySet());
        assertFails(IllegalArgumentException.class, () -> TrainingChart.of(result(true), "x"), "training chart: the run has no step, it must have at least one");
    }

    @Test
    void aLongRunIsThinnedAndEndsAtItsLastStep() {
        XYChart chart = TrainingChart.of(result(false, IntStream.range(0, 2_500).mapToDouble(i -> 5).toArray()), "x");
        double[] x = chart.getSeriesMap().get("smoothed").getXData();
        assertEquals(834, x.length);
        assertEquals(2_500, x[x.length - 1]);
    }

    @Test
    void lengthsAreCountedAndDrawn() {
        List<Integer> rows = List.of(9, 3, 5, 100), trained = List.of(1, 2, 3, 65);
        TokenLengths lengths = new TokenLengths(rows, trained, 0, 1);
        assertEquals("4 rows, 117 tokens, median 9, longest 100", lengths.toString());
        assertEquals(List.of(3, 5, 9, 100), lengths.rows());
        assertEquals(71.0 / 117, lengths.trainedShare(), 1e-12);
        assertEquals(List.of(3, 3, 5, 9, 100, 100), List.of(lengths.quantile(0), lengths.quantile(0.25), lengths.quantile(0.5), lengths.quantile(0.75), lengths.quantile(0.76), lengths.quantile(1)));
        XYChart chart = lengths.chart();
        Pictures.assertDrawn(chart, "Lengths of 4 rows", "tokens", "rows");
        double[] edges = chart.getSeriesMap().get("whole row").getXData(), counts = chart.getSeriesMap().get("whole row").getYData();
        assertEquals(22, edges.length, "bins of 5 tokens, and the end of the last");
        assertEquals(5, edges[1]);
        assertArrayEquals(new double[] {1, 2, 0}, Arrays.copyOf(counts, 3));
        assertArrayEquals(new double[] {1, 0}, Arrays.copyOfRange(counts, 20, 22));
        assertArrayEquals(new double[] {3, 0, 0}, Arrays.copyOf(chart.getSeriesMap().get("trained on").getYData(), 3));
        assertEquals(List.of(0.0, 20.0), Arrays.stream(new TokenLengths(List.of(500), List.of(0), 0, 0).chart().getSeriesMap().get("whole row").getXData()).limit(2).boxed().toList());
        Pictures.assertDrawn(new TokenLengths(List.of(1), List.of(0), 0, 0).chart(), "Lengths of 1 rows", "tokens", "rows");
        assertFails(IllegalArgumentException.class, () -> lengths.quantile(1.1), "token lengths: share is 1.1, it must be between 0 and 1");
        assertFails(IllegalArgumentException.class, () -> new TokenLengths(List.of(), List.of(), 0, 0), "token lengths: there are 0 rows and the trained tokens of 0");
    }

    @ParameterizedTest
    @EnumSource(FourBitType.class)
    void aCodebookStandsBesideTheWeightsThatItCodes(FourBitType type) {
        // blocks {-2, 1, 0} and {0.5}: -1, 0.5, 0 and 1 of their absmax
        XYChart chart = CodebookChart.of(new float[] {-2, 1, 0, 0.5f}, 3, type);
        Pictures.assertDrawn(chart, "Weights of a block and the 16 values of " + type, "weight / absmax of its block", "how often");
        double[] x = chart.getSeriesMap().get("weights").getXData(), share = chart.getSeriesMap().get("weights").getYData();
        for (int i = 0; i < x.length; i++) {
            assertEquals(List.of(-1.0, 0.0, 0.5, 1.0).contains(x[i]) ? 1 : 0, share[i], "how often " + x[i]);
        }
        double[] codes = chart.getSeriesMap().get(type.name() + " values").getXData(), expected = new double[16];
        for (int i = 0; i < 16; i++) {
            expected[i] = type.value(i);
        }
        Arrays.sort(expected);
        assertArrayEquals(expected, codes);
    }

    @Test
    void weightsThatAreAllZeroStillGiveAPicture() {
        Pictures.assertDrawn(CodebookChart.of(new float[64], 64, FourBitType.NF4), "Weights of a block and the 16 values of NF4", "weight / absmax of its block", "how often");
    }
}
