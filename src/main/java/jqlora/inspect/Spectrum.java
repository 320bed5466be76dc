package jqlora.inspect;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import jqlora.lora.LoraAdapter;
import jqlora.ops.LoraDelta;
import jqlora.ops.LoraFactors;
import jqlora.tensor.ShapeException;
import jqlora.tensor.TensorView;
import org.apache.commons.math3.linear.Array2DRowRealMatrix;
import org.apache.commons.math3.linear.QRDecomposition;
import org.apache.commons.math3.linear.RealMatrix;
import org.apache.commons.math3.linear.SingularValueDecomposition;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;

/**
 * The singular values of an update, or of a whole weight: how many directions it really uses.
 *
 * @param singularValues the largest first; of an update scaling B A there are r, or as many as the weight has rows or columns where those are fewer
 */
public record Spectrum(List<Double> singularValues) {
    public Spectrum {
        singularValues = List.copyOf(singularValues);
    }

    /**
     * The spectrum of {@code delta}. B and A are taken apart by QR first, so what is decomposed is r by r and not the whole weight.
     */
    public static Spectrum of(LoraDelta delta) {
        RealMatrix b = matrix(delta.scaledB(), delta.outFeatures(), delta.r()), a = matrix(delta.a(), delta.r(), delta.inFeatures());
        RealMatrix core = upper(b, delta.r()).multiply(upper(a.transpose(), delta.r()).transpose());
        return new Spectrum(Arrays.stream(new SingularValueDecomposition(core).getSingularValues()).boxed().toList());
    }

    /**
     * The spectrum of what {@code adapter} adds to {@code module} now.
     *
     * @throws IllegalArgumentException if the adapter has nothing for the module
     */
    public static Spectrum of(LoraAdapter adapter, String module) {
        LoraFactors factors = adapter.factors().get(module);
        if (factors == null) {
            throw new IllegalArgumentException("spectrum: the adapter has nothing for \"" + module + "\"; it has " + String.join(", ", adapter.factors().keySet()));
        }
        return of(LoraDelta.of(adapter.model().ops(), factors));
    }

    /**
     * The spectrum of a whole matrix: of a weight, or of the difference of two. The time grows with the third power of its size, to seconds at about a thousand rows
     * and columns.
     *
     * @param matrix [out, in], F32, F16 or BF16
     * @throws ShapeException if it has another number of dimensions
     */
    public static Spectrum of(TensorView matrix) {
        if (matrix.shape().rank() != 2) {
            throw new ShapeException("spectrum: the tensor is " + matrix + ", it must be [out, in]");
        }
        RealMatrix whole = matrix(matrix.toFloats(), (int) matrix.shape().dim(0), (int) matrix.shape().dim(1));
        return new Spectrum(Arrays.stream(new SingularValueDecomposition(whole).getSingularValues()).boxed().toList());
    }

    /**
     * Several spectra, each against its own largest value, both axes logarithmic. Values below a hundred-thousandth of the largest are left out: they are rounding.
     *
     * @param spectra name and spectrum; at least one that is not zero
     */
    public static XYChart chart(String title, Map<String, Spectrum> spectra) {
        XYChart chart = new XYChartBuilder().width(640).height(380).title(title).xAxisTitle("direction, the strongest first").yAxisTitle("singular value / largest").build();
        ChartStyle.apply(chart.getStyler());
        chart.getStyler().setXAxisLogarithmic(true);
        chart.getStyler().setYAxisLogarithmic(true);
        spectra.forEach((name, spectrum) -> {
            double[] shares = spectrum.singularValues.stream().mapToDouble(value -> value / spectrum.largest()).filter(share -> share > 1e-5).toArray();
            if (shares.length > 0) {
                chart.addSeries(name, IntStream.rangeClosed(1, shares.length).asDoubleStream().toArray(), shares);
            }
        });
        return ChartStyle.fittingLegend(chart);
    }

    static RealMatrix matrix(float[] values, int rows, int columns) {
        double[][] matrix = new double[rows][columns];
        for (int row = 0; row < rows; row++) {
            for (int column = 0; column < columns; column++) {
                matrix[row][column] = values[row * columns + column];
            }
        }
        return new Array2DRowRealMatrix(matrix, false);
    }

    /** The triangular factor of {@code tall}, its first rows. */
    private static RealMatrix upper(RealMatrix tall, int columns) {
        RealMatrix r = new QRDecomposition(tall).getR();
        return r.getSubMatrix(0, Math.min(columns, r.getRowDimension()) - 1, 0, columns - 1);
    }

    /** The Frobenius norm of the update. */
    public double norm() {
        return Math.sqrt(singularValues.stream().mapToDouble(value -> value * value).sum());
    }

    /** The largest singular value: the most that the update stretches an input. */
    public double largest() {
        return singularValues.isEmpty() ? 0 : singularValues.getFirst();
    }

    /**
     * exp of the entropy of the singular values as shares of their sum: r when all are equal, 1 when there is one; 0 for no update.
     *
     * @see <a href="https://ieeexplore.ieee.org/document/7098875">Roy and Vetterli, The effective rank (EUSIPCO 2007)</a>
     */
    public double effectiveRank() {
        double sum = singularValues.stream().mapToDouble(Double::doubleValue).sum();
        if (sum == 0) {
            return 0;
        }
        double entropy = 0;
        for (double value : singularValues) {
            double share = value / sum;
            entropy -= share > 0 ? share * Math.log(share) : 0;
        }
        return Math.exp(entropy);
    }
}
