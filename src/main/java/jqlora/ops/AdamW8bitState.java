package jqlora.ops;

import java.util.List;
import jqlora.tensor.Tensor;

/** A trained parameter and its moments in 8 bits. */
public record AdamW8bitState(Parameter parameter, EightBitMoment firstMoment, EightBitMoment secondMoment) implements AutoCloseable {
    /** The state before step 1. */
    public static AdamW8bitState create(Store ops, Parameter parameter) {
        long[] dims = parameter.value().shape().toArray();
        return new AdamW8bitState(parameter, EightBitMoment.zeros(ops, dims), EightBitMoment.zeros(ops, dims));
    }

    /** What the moments lie in: codes and absmax of the first, then of the second. */
    public List<Tensor> tensors() {
        return List.of(firstMoment.codes(), firstMoment.absmax(), secondMoment.codes(), secondMoment.absmax());
    }

    @Override
    public void close() {
        firstMoment.close();
        secondMoment.close();
    }
}
