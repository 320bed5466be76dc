package jqlora.ops;

import jqlora.tensor.ShapeException;

/**
 * The low-rank update of a linear layer: {@code y += scaling * B A dropout(x)}.
 *
 * @param a [r, inFeatures], F32
 * @param b [outFeatures, r], F32
 * @param scaling loraAlpha / r, or loraAlpha / sqrt(r) with rank stabilisation
 * @param dropout probability in [0, 1) of zeroing an element of x, in training only
 * @param module a number of its own for each adapted layer of a model: it tells the dropout masks apart
 * @see <a href="https://arxiv.org/abs/2106.09685">LoRA</a>
 */
public record LoraFactors(Parameter a, Parameter b, float scaling, float dropout, int module) {
    public LoraFactors {
        long r = a.value().shape().dim(0);
        if (a.value().shape().rank() != 2 || b.value().shape().rank() != 2 || b.value().shape().dim(1) != r) {
            throw new ShapeException("LoRA: " + a.name() + " has shape " + a.value().shape() + " and " + b.name() + " has shape "
                    + b.value().shape() + ", they must be [r, inFeatures] and [outFeatures, r]");
        }
        if (!(dropout >= 0 && dropout < 1)) {
            throw new IllegalArgumentException("LoRA: dropout is " + dropout + ", it must be in [0, 1)");
        }
    }

    /** The rank. */
    public long r() {
        return a.value().shape().dim(0);
    }
}
