package jqlora.inspect;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import jqlora.format.BitsAndBytesState;
import jqlora.format.NamedTensors;
import jqlora.tensor.TensorView;

/**
 * What the numbers of one tensor are like. A list of them is shown as a table.
 *
 * @param mean of all numbers
 * @param deviation standard deviation
 * @param farthest the number farthest from the mean, counted in deviations
 * @param beyond4 share of the numbers that are more than four deviations from the mean: 0.000063 in a bell curve
 * @param kurtosis mean fourth power of the distance from the mean, in deviations: 3 in a bell curve, more where the tails are heavy; NaN where all numbers are equal
 */
public record WeightStats(String name, String shape, double mean, double deviation, double least, double most, double farthest, double beyond4, double kurtosis) {
    /** The statistics of {@code tensor}, F32, F16 or BF16, of any shape.
     * @throws IllegalArgumentException if it has no number */
    public static WeightStats of(String name, TensorView tensor) {
        float[] numbers = tensor.toFloats();
        if (numbers.length == 0) {
            throw new IllegalArgumentException("weight statistics: " + name + " " + tensor + " has no number");
        }
        double sum = 0, least = Double.POSITIVE_INFINITY, most = Double.NEGATIVE_INFINITY;
        for (float number : numbers) {
            sum += number;
            least = Math.min(least, number);
            most = Math.max(most, number);
        }
        double mean = sum / numbers.length, squares = 0, fourth = 0;
        for (float number : numbers) {
            double square = (number - mean) * (number - mean);
            squares += square;
            fourth += square * square;
        }
        double deviation = Math.sqrt(squares / numbers.length);
        long beyond = 0;
        for (float number : numbers) {
            beyond += Math.abs(number - mean) > 4 * deviation ? 1 : 0;
        }
        return new WeightStats(name, tensor.shape().toString(), mean, deviation, least, most, Math.max(most - mean, mean - least) / deviation, (double) beyond / numbers.length,
                fourth / numbers.length / (deviation * deviation * deviation * deviation));
    }

    /**
     * The statistics of every matrix in the layers of a model's file, without {@code .weight} in the names; 4-bit weights by what they decode to. Embeddings and
     * output layer are not among them.
     *
     * @throws IOException if a 4-bit weight is not as it must be
     */
    public static List<WeightStats> ofLayers(NamedTensors tensors) throws IOException {
        List<WeightStats> all = new ArrayList<>();
        for (String name : BitsAndBytesState.parameters(tensors)) {
            StoredTensor tensor = StoredTensor.of(tensors, name);
            if (ModulePlace.isInLayer(name) && tensor.shape().rank() == 2) {
                all.add(of(name.replaceFirst("\\.weight$", ""), TensorView.ofFloats(tensor.numbers(), tensor.shape().toArray())));
            }
        }
        return all;
    }
}
