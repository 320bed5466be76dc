package jqlora.ops;

import java.util.List;
import jqlora.tensor.Tensor;

/**
 * A trained parameter and its moments.
 *
 * @param firstMoment F32, shaped like the parameter, zero before step 1
 * @param secondMoment F32, shaped like the parameter, zero before step 1
 */
public record AdamWState(Parameter parameter, Tensor firstMoment, Tensor secondMoment) implements AutoCloseable {
    /** What the moments lie in. */
    public List<Tensor> tensors() {
        return List.of(firstMoment, secondMoment);
    }

    @Override
    public void close() {
        firstMoment.close();
        secondMoment.close();
    }
}
