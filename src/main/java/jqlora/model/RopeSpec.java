package jqlora.model;

/**
 * Rotary positions.
 *
 * @param rotaryDim how many of a head's coordinates turn, from the front; even
 * @param theta base of the wavelengths
 * @param maxPositionEmbeddings positions that the model was made for
 * @param interleaved whether neighbouring coordinates turn together (GPT-J), not those half a rotation apart
 */
public record RopeSpec(int rotaryDim, double theta, Scaling scaling, int maxPositionEmbeddings, boolean interleaved) {
    public RopeSpec {
        if (rotaryDim < 2 || rotaryDim % 2 != 0) {
            throw new IllegalArgumentException("rope: rotaryDim is " + rotaryDim + ", it must be even and at least 2");
        }
    }

    /** As this one, with neighbouring coordinates. */
    public RopeSpec asInterleaved() {
        return new RopeSpec(rotaryDim, theta, scaling, maxPositionEmbeddings, true);
    }

    /** How a model that was trained on short texts reaches longer ones. */
    public sealed interface Scaling { }

    /** Wavelengths as they are. */
    public record Unscaled() implements Scaling { }

    /** All wavelengths longer by {@code factor}. */
    public record Linear(double factor) implements Scaling { }

    /**
     * Llama 3.1: wavelengths beyond originalMaxPositionEmbeddings / lowFreqFactor longer by {@code factor}, those below
     * originalMaxPositionEmbeddings / highFreqFactor as they are, a smooth change between.
     */
    public record Llama3(double factor, double lowFreqFactor, double highFreqFactor, int originalMaxPositionEmbeddings) implements Scaling {
        public Llama3 {
            if (!(highFreqFactor > lowFreqFactor)) {
                throw new IllegalArgumentException("rope: high_freq_factor is " + highFreqFactor + ", it must be above low_freq_factor, " + lowFreqFactor);
            }
        }
    }

    /**
     * The angle per position of each pair of coordinates, in the float32 steps of transformers.
     *
     * @return [rotaryDim / 2]
     * @see <a href="https://github.com/huggingface/transformers/blob/v5.17.0/src/transformers/modeling_rope_utils.py">transformers modeling_rope_utils.py</a>
     */
    public float[] inverseFrequencies() {
        float[] frequencies = new float[rotaryDim / 2];
        for (int i = 0; i < frequencies.length; i++) {
            float exponent = (float) (2 * i) / rotaryDim;
            float unscaled = 1f / (float) Math.pow(theta, exponent);
            frequencies[i] = switch (scaling) {
                case Unscaled() -> unscaled;
                case Linear(var factor) -> unscaled / (float) factor;
                case Llama3 llama3 -> llama3(unscaled, llama3);
            };
        }
        return frequencies;
    }

    private static float llama3(float frequency, Llama3 scaling) {
        float factor = (float) scaling.factor();
        float wavelength = (float) (2 * Math.PI) / frequency;
        if (wavelength < scaling.originalMaxPositionEmbeddings() / scaling.highFreqFactor()) {
            return frequency;
        }
        if (wavelength > scaling.originalMaxPositionEmbeddings() / scaling.lowFreqFactor()) {
            return frequency / factor;
        }
        float smooth = (scaling.originalMaxPositionEmbeddings() / wavelength - (float) scaling.lowFreqFactor())
                / (float) (scaling.highFreqFactor() - scaling.lowFreqFactor());
        return (1 - smooth) * frequency / factor + smooth * frequency;
    }
}
