package jqlora.ops.cuda;

import java.util.List;
import jqlora.ops.Parameter;
import jqlora.tensor.Tensor;

/** A parameter and the tensors that its moments lie in, a column of {@link MomentLayout} each; or none, for what takes no moments. */
record Moments(Parameter parameter, List<Tensor> tensors) {
    long elements() {
        return parameter.value().shape().size();
    }

    /** Whether they are in the host's memory. */
    boolean arePaged() {
        return !tensors.isEmpty() && tensors.stream().allMatch(tensor -> tensor instanceof CudaTensor own && own.place() != null && own.place().isAway());
    }
}
