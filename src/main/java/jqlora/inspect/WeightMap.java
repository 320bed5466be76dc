package jqlora.inspect;

import java.math.BigDecimal;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import jqlora.tensor.ShapeException;
import jqlora.tensor.TensorView;
import org.knowm.xchart.HeatMapChart;

/** A matrix as a picture: where its numbers are large. */
public final class WeightMap {
    private static final int CELLS = 48, WIDTH = 640, HEIGHT = 440;
    private static final MathContext LEGEND_DIGITS = new MathContext(2);      // the legend of a heat map shows all digits that there are

    private WeightMap() { }

    /**
     * The size of the numbers, averaged over cells of rows and columns.
     *
     * @param title what the numbers are; the unit is added where they are small
     * @param matrix [out, in], F32, F16 or BF16
     * @throws ShapeException if it has another number of dimensions
     */
    public static HeatMapChart of(String title, TensorView matrix) {
        if (matrix.shape().rank() != 2) {
            throw new ShapeException("weight map: the tensor is " + matrix + ", it must be [out, in]");
        }
        float[] numbers = matrix.toFloats();
        long height = matrix.shape().dim(0), width = matrix.shape().dim(1);
        int rows = (int) Math.min(CELLS, height), columns = (int) Math.min(CELLS, width);
        double[][] means = new double[columns][rows];
        int[][] counts = new int[columns][rows];
        for (int i = 0; i < numbers.length; i++) {
            int x = (int) (i % width * columns / width), y = (int) (i / width * rows / height);
            means[x][y] += Math.abs(numbers[i]);
            counts[x][y]++;
        }
        for (int x = 0; x < columns; x++) {
            for (int y = 0; y < rows; y++) {
                means[x][y] /= counts[x][y];
            }
        }
        Unit unit = Unit.of(Arrays.stream(means).flatMapToDouble(Arrays::stream).max().orElse(0));
        List<Number[]> cells = new ArrayList<>();
        for (int x = 0; x < columns; x++) {
            for (int y = 0; y < rows; y++) {
                cells.add(new Number[] {x, y, new BigDecimal(means[x][y] * unit.parts).round(LEGEND_DIGITS).doubleValue()});
            }
        }
        HeatMapChart chart = ChartStyle.heatMap(WIDTH, HEIGHT, title + unit.said, "input features", "output features", value -> NumberText.alone(value, 2));
        chart.getStyler().setAxisTicksVisible(false);
        chart.addSeries("size", range(columns), range(rows), cells);
        return chart;
    }

    /** In which small numbers are given: the legend of a heat map would write them with an exponent. */
    private enum Unit {
        ONES(1, ""), THOUSANDTHS(1_000, ", in thousandths"), MILLIONTHS(1_000_000, ", in millionths");

        private final int parts;
        private final String said;

        Unit(int parts, String said) {
            this.parts = parts;
            this.said = said;
        }

        static Unit of(double most) {
            return most == 0 || most >= 0.1 ? ONES : most >= 1e-4 ? THOUSANDTHS : MILLIONTHS;
        }
    }

    private static List<Integer> range(int count) {
        return IntStream.range(0, count).boxed().toList();
    }
}
