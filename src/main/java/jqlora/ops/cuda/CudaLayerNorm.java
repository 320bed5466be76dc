package jqlora.ops.cuda;

import jqlora.ops.Norm;
import jqlora.tensor.Tensor;

/** Layer normalisation of rows. Where products are in FP8, the product that reads the result turns it into e4m3 itself. */
final class CudaLayerNorm {
    private static final String SOURCE = "layer_norm";
    private static final int THREADS = 256;

    private final CudaOps ops;

    CudaLayerNorm(CudaOps ops) {
        this.ops = ops;
    }

    private static CudaTensor weight(Norm.Layer norm) {
        return CudaTensor.of(norm.weight().value());
    }

    /** Null when there is none. */
    private static CudaTensor bias(Norm.Layer norm) {
        return norm.bias() == null ? null : CudaTensor.of(norm.bias().value());
    }

    private static int biasType(Norm.Layer norm) {
        return norm.bias() == null ? 0 : bias(norm).type();
    }

    CudaTensor forward(CudaTensor x, Norm.Layer norm, Tensor statistics) {
        CudaTensor y = ops.matrix(x.rows(), x.columns());
        ops.kernel(SOURCE, "layer_norm").matrix(y).address(statistics).matrix(x).address(weight(norm)).address(bias(norm)).real(norm.eps()).integer(x.columns())
                .integer(weight(norm).type()).integer(biasType(norm)).real(norm.weightOffset()).launch(x.rows(), THREADS);
        return y;
    }

    CudaTensor again(CudaTensor x, Norm.Layer norm, Tensor statistics) {
        CudaTensor y = ops.matrix(x.rows(), x.columns());
        ops.kernel(SOURCE, "layer_norm_again").matrix(y).address(statistics).matrix(x).address(weight(norm)).address(bias(norm)).integer(x.columns())
                .integer(weight(norm).type()).integer(biasType(norm)).real(norm.weightOffset()).launch(x.rows(), THREADS);
        return y;
    }

    /** @param again whether the result of the forward takes the place of dY */
    void backward(CudaTensor dX, Tensor dY, CudaTensor x, Norm.Layer norm, Tensor statistics, boolean again) {
        // before dX: that may be dY
        if (norm.isTrained()) {
            ops.kernel(SOURCE, "layer_norm_weight_gradients").address(norm.weight().gradient()).address(norm.bias() == null ? null : norm.bias().gradient()).matrix(dY).matrix(x)
                    .address(statistics).number(x.rows()).integer(x.columns()).launch(Math.ceilDiv(x.columns(), 32L), 1, 32, 8);
        }
        ops.kernel(SOURCE, "layer_norm_backward").matrix(dX).matrix(dY).matrix(x).address(weight(norm)).address(bias(norm)).address(statistics).integer(x.columns())
                .integer(weight(norm).type()).integer(biasType(norm)).real(norm.weightOffset()).integer(again ? 1 : 0).launch(x.rows(), THREADS);
    }
}
