package jqlora.ops;

import java.util.List;
import jqlora.tensor.Shape;

/** A normalisation of rows over the last axis, with its weights. */
public sealed interface Norm extends AutoCloseable {
    /** [hidden] */
    Parameter weight();

    /** Added to the weight: 0, or 1 where the checkpoint stores its distance from 1. */
    float weightOffset();

    /** Added to the mean of squares before the root. */
    float eps();

    /** The shape of what the forward leaves for the backward, F32. */
    Shape statistics(long rows);

    /** Weight, and bias where there is one. */
    List<Parameter> parameters();

    default boolean isTrained() {
        return parameters().stream().anyMatch(Parameter::isTrained);
    }

    @Override
    default void close() {
        parameters().forEach(Parameter::close);
    }

    /**
     * {@code y = x rstd (weightOffset + weight)} with {@code rstd = 1 / sqrt(mean(x^2) + eps)}. The statistics are rstd, [rows].
     *
     * @param weightOffset 0, or 1 where the checkpoint stores the weight's distance from 1 (Gemma)
     * @see <a href="https://arxiv.org/abs/1910.07467">Root mean square layer normalization</a>
     */
    record Rms(Parameter weight, float weightOffset, float eps) implements Norm {
        @Override
        public Shape statistics(long rows) {
            return Shape.of(rows);
        }

        @Override
        public List<Parameter> parameters() {
            return List.of(weight);
        }
    }

    /**
     * {@code y = (x - mean(x)) rstd (weightOffset + weight) + bias} with {@code rstd = 1 / sqrt(mean((x - mean(x))^2) + eps)}. The statistics are mean and rstd, [rows, 2].
     *
     * @param bias [hidden]; null when there is none
     * @param weightOffset 0, or 1 where the checkpoint stores the weight's distance from 1 (Nemotron)
     * @see <a href="https://arxiv.org/abs/1607.06450">Layer normalization</a>
     */
    record Layer(Parameter weight, Parameter bias, float weightOffset, float eps) implements Norm {
        /** With the weight as it is. */
        public Layer(Parameter weight, Parameter bias, float eps) {
            this(weight, bias, 0, eps);
        }

        @Override
        public Shape statistics(long rows) {
            return Shape.of(rows, 2);
        }

        @Override
        public List<Parameter> parameters() {
            return bias == null ? List.of(weight) : List.of(weight, bias);
        }
    }
}
