package jqlora.model;

import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.Shape;
import jqlora.tensor.TensorView;

/** The weights of a model that has learned nothing: norms at their start, biases 0, matrices normal with transformers' initializer_range. */
final class RandomWeights implements WeightSource {
    private final RandomGenerator random;
    private final float standardDeviation, normWeight;

    /** @param normWeight what a norm's weight begins with */
    RandomWeights(long seed, float standardDeviation, float normWeight) {
        random = RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
        this.standardDeviation = standardDeviation;
        this.normWeight = normWeight;
    }

    @Override
    public TensorView read(String name, Shape shape, Arena arena) {
        float[] values = new float[Math.toIntExact(shape.size())];
        if (shape.rank() == 1) {
            Arrays.fill(values, name.endsWith(".bias") ? 0f : normWeight);
        } else {
            for (int i = 0; i < values.length; i++) {
                values[i] = standardDeviation * (float) random.nextGaussian();
            }
        }
        return TensorView.ofFloats(values, shape.toArray());
    }

    @Override
    public QuantizedTensor readFourBit(String name, Shape shape) {
        return null;
    }
}
