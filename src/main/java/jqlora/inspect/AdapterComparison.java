package jqlora.inspect;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.ToDoubleFunction;
import jqlora.lora.LoraAdapter;
import jqlora.ops.LoraDelta;
import org.apache.commons.math3.linear.Array2DRowRealMatrix;
import org.apache.commons.math3.linear.RealMatrix;
import org.apache.commons.math3.linear.SingularValueDecomposition;
import org.knowm.xchart.HeatMapChart;

/** How alike the updates of two adapters are, module by module. A list of its rows is shown as a table. */
public record AdapterComparison(List<Row> rows) {
    public AdapterComparison {
        rows = List.copyOf(rows);
    }

    /**
     * @param module or what a row of means is called
     * @param cosine of the angle between the two updates as long vectors: 1 for the same direction, 0 for nothing in common, -1 for opposite ones
     * @param read share that the strongest directions of the input, which the updates react to, have in common: 0 to 1
     * @param readByChance what two random choices of as many directions would have in common, on average
     * @param written the same of the directions of the output, into which the updates write
     * @param writtenByChance as {@code readByChance}
     */
    public record Row(String module, double cosine, double read, double readByChance, double written, double writtenByChance) { }

    /**
     * Compares {@code one} with {@code other} in the modules that both have. Neither need be in force.
     *
     * @param directions how many of the strongest are compared; at least 1, at most the ranks of both
     * @throws IllegalArgumentException if no module is common, a rank is too small, or an update is zero
     * @see <a href="https://arxiv.org/abs/2106.09685">LoRA, section 7.2: subspace similarity</a>
     */
    public static AdapterComparison of(LoraAdapter one, LoraAdapter other, int directions) {
        List<Row> rows = new ArrayList<>();
        for (String module : one.factors().keySet()) {
            if (other.factors().containsKey(module)) {
                rows.add(row(module, LoraDelta.of(one.model().ops(), one.factors().get(module)), LoraDelta.of(other.model().ops(), other.factors().get(module)), directions));
            }
        }
        if (rows.isEmpty()) {
            throw new IllegalArgumentException("adapter comparison: no module is in both; one has " + one.config().targetModules().text() + ", the other " + other.config().targetModules().text());
        }
        return new AdapterComparison(rows);
    }

    private static Row row(String module, LoraDelta one, LoraDelta other, int directions) {
        if (directions < 1 || directions > Math.min(one.r(), other.r())) {
            throw new IllegalArgumentException("adapter comparison: " + directions + " directions of " + module + ", it must be from 1 to the smaller rank, " + Math.min(one.r(), other.r()));
        }
        Parts first = Parts.of(module, one, directions), second = Parts.of(module, other, directions);
        return new Row(module, first.product(second) / Math.sqrt(first.product(first) * second.product(second)), overlap(first.read, second.read), chance(directions, one.inFeatures()),
                overlap(first.written, second.written), chance(directions, one.outFeatures()));
    }

    private static double chance(int directions, int dimensions) {
        return Math.min(1, (double) directions / dimensions);
    }

    /** The mean square of the cosines between two subspaces of equal dimension, each given by orthonormal columns. */
    private static double overlap(RealMatrix one, RealMatrix other) {
        double norm = one.transpose().multiply(other).getFrobeniusNorm();
        return norm * norm / one.getColumnDimension();
    }

    /**
     * An update and its strongest directions.
     *
     * @param b scaling B [out, r]
     * @param a A [r, in]
     * @param written [out, directions], orthonormal columns
     * @param read [in, directions], orthonormal columns
     */
    private record Parts(RealMatrix b, RealMatrix a, RealMatrix written, RealMatrix read) {
        static Parts of(String module, LoraDelta delta, int directions) {
            RealMatrix b = Spectrum.matrix(delta.scaledB(), delta.outFeatures(), delta.r()), a = Spectrum.matrix(delta.a(), delta.r(), delta.inFeatures());
            RealMatrix left = orthonormal(b), right = orthonormal(a.transpose());
            // B A = left (left' B) (A right) right': what is decomposed is r by r
            SingularValueDecomposition core = new SingularValueDecomposition(left.transpose().multiply(b).multiply(a.multiply(right)));
            if (!(core.getNorm() > 0)) {
                throw new IllegalArgumentException("adapter comparison: the update of " + module + " is zero; has the adapter been trained?");
            }
            int last = directions - 1;
            return new Parts(b, a, left.multiply(core.getU().getSubMatrix(0, delta.r() - 1, 0, last)), right.multiply(core.getV().getSubMatrix(0, delta.r() - 1, 0, last)));
        }

        /** The sum of the products of both updates' numbers; neither is made whole. */
        double product(Parts other) {
            RealMatrix outputs = b.transpose().multiply(other.b), inputs = a.multiply(other.a.transpose());
            double sum = 0;
            for (int i = 0; i < outputs.getRowDimension(); i++) {
                for (int j = 0; j < outputs.getColumnDimension(); j++) {
                    sum += outputs.getEntry(i, j) * inputs.getEntry(i, j);
                }
            }
            return sum;
        }
    }

    /** Orthonormal columns that span those of {@code tall}; a column that adds nothing becomes zero. By Gram and Schmidt, each step twice for accuracy. */
    private static RealMatrix orthonormal(RealMatrix tall) {
        double[][] columns = tall.transpose().getData();
        for (int i = 0; i < columns.length; i++) {
            double before = length(columns[i]);
            for (int pass = 0; pass < 2; pass++) {
                for (int j = 0; j < i; j++) {
                    double share = 0;
                    for (int k = 0; k < columns[i].length; k++) {
                        share += columns[i][k] * columns[j][k];
                    }
                    for (int k = 0; k < columns[i].length; k++) {
                        columns[i][k] -= share * columns[j][k];
                    }
                }
            }
            double left = length(columns[i]);
            for (int k = 0; k < columns[i].length; k++) {
                columns[i][k] = left > 1e-12 * before ? columns[i][k] / left : 0;
            }
        }
        return new Array2DRowRealMatrix(columns, false).transpose();
    }

    private static double length(double[] column) {
        double squares = 0;
        for (double value : column) {
            squares += value * value;
        }
        return Math.sqrt(squares);
    }

    /** The means over all modules, as a row that is called {@code name}. */
    public Row mean(String name) {
        return new Row(name, mean(Row::cosine), mean(Row::read), mean(Row::readByChance), mean(Row::written), mean(Row::writtenByChance));
    }

    private double mean(ToDoubleFunction<Row> figure) {
        return rows.stream().mapToDouble(figure).average().orElse(Double.NaN);
    }

    /** The cosines: layers down, modules across. */
    public HeatMapChart map(String title) {
        Map<String, Double> cosines = new LinkedHashMap<>();
        rows.forEach(row -> cosines.put(row.module, row.cosine));
        return LayerChart.map(title, cosines, cosine -> String.format(Locale.ROOT, "%.2f", cosine));
    }
}
