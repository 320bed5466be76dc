package jqlora.train;

import java.util.Arrays;
import java.util.stream.Collectors;

/**
 * How the learning rate changes over a run, under transformers' names.
 *
 * @param type shape of the curve
 * @param peak the highest rate
 * @param warmupSteps steps over which the rate rises from 0; {@link Type#CONSTANT} does not use them, as in transformers
 * @see <a href="https://github.com/huggingface/transformers/blob/v5.17.0/src/transformers/optimization.py">transformers 5.17.0, optimization.py</a>
 */
public record LearningRate(Type type, double peak, int warmupSteps) {
    /** Shapes, by transformers' {@code lr_scheduler_type}. */
    public enum Type {
        CONSTANT, CONSTANT_WITH_WARMUP, LINEAR, COSINE;

        /** Such as {@code constant_with_warmup}. */
        public String id() {
            return name().toLowerCase(java.util.Locale.ROOT);
        }

        /** @throws IllegalArgumentException if there is no such type */
        public static Type ofId(String id) {
            return Arrays.stream(values()).filter(type -> type.id().equals(id)).findFirst().orElseThrow(() -> new IllegalArgumentException(
                    "lr_scheduler_type is \"" + id + "\", it must be one of " + Arrays.stream(values()).map(Type::id).collect(Collectors.joining(", "))));
        }
    }

    public LearningRate {
        if (!(peak > 0 && Double.isFinite(peak)) || warmupSteps < 0) {
            throw new IllegalArgumentException("learning rate: peak is " + peak + " and warmupSteps is " + warmupSteps + ", they must be positive and at least 0");
        }
    }

    /** A rate that never changes. */
    public static LearningRate constant(double rate) {
        return new LearningRate(Type.CONSTANT, rate, 0);
    }

    /** The rate of step {@code step}, from 1, of {@code totalSteps}. */
    public double at(int step, int totalSteps) {
        int done = step - 1;
        if (type != Type.CONSTANT && done < warmupSteps) {
            return peak * done / Math.max(1, warmupSteps);
        }
        double remaining = Math.max(1, totalSteps - warmupSteps);
        return switch (type) {
            case CONSTANT, CONSTANT_WITH_WARMUP -> peak;
            case LINEAR -> peak * Math.max(0, (totalSteps - done) / remaining);
            case COSINE -> peak * Math.max(0, 0.5 * (1 + Math.cos(Math.PI * ((done - warmupSteps) / remaining))));
        };
    }
}
