package jqlora.ops;

import jqlora.tensor.ShapeException;
import jqlora.tensor.Tensor;

/**
 * A tensor of the model, and its gradient when it is trained.
 *
 * @param name the full name in the checkpoint, such as {@code model.layers.0.self_attn.q_proj.weight}
 * @param gradient F32, shaped like the value; every backward <em>adds into</em> it; null when the parameter is frozen
 */
public record Parameter(String name, Tensor value, Tensor gradient) implements AutoCloseable {
    public Parameter {
        if (gradient != null) {
            ShapeException.require(name + ": gradient", gradient.shape(), value.shape());
        }
    }

    /** A parameter that is not trained. */
    public static Parameter frozen(String name, Tensor value) {
        return new Parameter(name, value, null);
    }

    public boolean isTrained() {
        return gradient != null;
    }

    @Override
    public void close() {
        value.close();
        if (gradient != null) {
            gradient.close();
        }
    }
}
