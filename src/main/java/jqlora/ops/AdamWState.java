package jqlora.ops;

import jqlora.tensor.Tensor;

/**
 * A trained parameter and its moments.
 *
 * @param firstMoment F32, shaped like the parameter, zero before step 1
 * @param secondMoment F32, shaped like the parameter, zero before step 1
 */
public record AdamWState(Parameter parameter, Tensor firstMoment, Tensor secondMoment) implements AutoCloseable {
    @Override
    public void close() {
        firstMoment.close();
        secondMoment.close();
    }
}
