package jqlora.ops.cuda;

import java.util.List;
import jqlora.ops.AttentionShape;
import jqlora.ops.LinearGroup;
import jqlora.ops.LinearWeights;
import jqlora.ops.Norm;
import jqlora.ops.Parameter;
import jqlora.tensor.Tensor;

/** Normalisation of rows, and of each query and key head; {@link CudaLayerNorm} has layer normalisation. */
final class CudaNorm {
    private static final String SOURCE = "rms_norm";
    private static final int THREADS = 256, WARPS = 8, CHUNK = 8, HELD = 4;

    private final CudaOps ops;
    private final CudaLayerNorm layers;

    CudaNorm(CudaOps ops) {
        this.ops = ops;
        this.layers = new CudaLayerNorm(ops);
    }

    CudaTensor forward(CudaTensor x, Norm norm, Tensor statistics) {
        return switch (norm) {
            case Norm.Rms rms -> forward(x, rms, statistics);
            case Norm.Layer layer -> layers.forward(x, layer, statistics);
        };
    }

    private CudaTensor forward(CudaTensor x, Norm.Rms norm, Tensor rstd) {
        CudaTensor y = ops.matrix(x.rows(), x.columns()), weight = CudaTensor.of(norm.weight().value());
        boolean held = isHeld(x);
        Fp8Rows eights = held ? ops.fp8Rows(x.rows(), x.columns()) : null;
        Kernel kernel = ops.kernel(SOURCE, held ? "rms_norm8" : "rms_norm").matrix(y).address(rstd).matrix(x).address(weight).real(norm.weightOffset()).real(norm.eps())
                .integer(x.columns()).integer(weight.type());
        launch(kernel, held, eights, y);
        return y;
    }

    /** Whether a block holds a row in registers. */
    private static boolean isHeld(CudaTensor x) {
        return x.columns() % CHUNK == 0 && x.columns() <= CHUNK * HELD * THREADS;
    }

    /**
     * @param held whether the kernel takes {@code eights}
     * @param eights what the kernel writes in e4m3 too, since a product reads it next; null where products are not in FP8
     */
    private static void launch(Kernel kernel, boolean held, Fp8Rows eights, CudaTensor made) {
        if (held) {
            kernel.address(eights == null ? null : eights.codes()).address(eights == null ? null : eights.scales());
            made.setFp8(eights);
        }
        kernel.launch(made.rows(), THREADS);
    }

    CudaTensor again(CudaTensor x, Norm norm, Tensor statistics) {
        return switch (norm) {
            case Norm.Rms rms -> again(x, rms, statistics);
            case Norm.Layer layer -> layers.again(x, layer, statistics);
        };
    }

    private CudaTensor again(CudaTensor x, Norm.Rms norm, Tensor rstd) {
        CudaTensor y = ops.matrix(x.rows(), x.columns()), weight = CudaTensor.of(norm.weight().value());
        ops.kernel(SOURCE, "rms_norm_again").matrix(y).address(rstd).matrix(x).address(weight).real(norm.weightOffset()).integer(x.columns()).integer(weight.type())
                .launch(x.rows(), THREADS);
        return y;
    }

    /** @param again whether the result of the forward takes the place of dY */
    void backward(CudaTensor dX, Tensor dY, CudaTensor x, Norm norm, Tensor statistics, boolean again) {
        switch (norm) {
            case Norm.Rms rms -> backward(dX, dY, x, rms, statistics, again);
            case Norm.Layer layer -> layers.backward(dX, dY, x, layer, statistics, again);
        }
    }

    private void backward(CudaTensor dX, Tensor dY, CudaTensor x, Norm.Rms norm, Tensor rstd, boolean again) {
        Parameter weight = norm.weight();
        CudaTensor value = CudaTensor.of(weight.value());
        // before dX: that may be dY
        if (weight.isTrained()) {
            ops.kernel(SOURCE, "rms_norm_weight_gradient").address(weight.gradient()).matrix(dY).matrix(x).address(rstd).number(x.rows()).integer(x.columns())
                    .launch(Math.ceilDiv(x.columns(), 32L), 1, 32, 8);
        }
        boolean held = isHeld(x);
        Fp8Rows eights = held ? ops.fp8Rows(x.rows(), x.columns()) : null;
        Kernel kernel = ops.kernel(SOURCE, held ? "rms_norm_backward8" : "rms_norm_backward").matrix(dX).matrix(dY).matrix(x).address(value).real(norm.weightOffset()).address(rstd)
                .integer(x.columns()).integer(value.type()).integer(again ? 1 : 0);
        launch(kernel, held, eights, dX);
    }

    /** The backward of {@code readers}, which read the result, and then of the normalisation; of a norm that {@code readers} read. */
    void linearBackward(CudaLinear readers, CudaTensor dX, CudaTensor dY, CudaTensor x, Norm norm, Tensor statistics, LinearGroup group, CudaTensor inner, long dropoutKey,
            CudaLinear.Gradients gradients) {
        if (dX == null && !norm.isTrained()) {
            try (CudaTensor normed = again(x, norm, statistics)) {
                readers.backward(null, dY, dInner -> normed, group, inner, dropoutKey, gradients);
            }
            return;
        }
        try (CudaTensor normed = ops.matrix(x.rows(), x.columns()); CudaTensor unwanted = dX == null ? ops.matrix(x.rows(), x.columns()) : null) {
            readers.backward(normed, dY, dInner -> {
                backward(dX == null ? unwanted : dX, normed, x, norm, statistics, true);
                return normed;
            }, group, inner, dropoutKey, gradients);
        }
    }

    CudaTensor headForward(CudaTensor qkv, AttentionShape shape, CudaTensor qWeight, CudaTensor kWeight, float eps, Tensor rstd) {
        CudaTensor y = ops.matrix(qkv.rows(), qkv.columns());
        int heads = shape.numAttentionHeads() + 2 * shape.numKeyValueHeads();
        ops.kernel(SOURCE, "head_norm").matrix(y).address(rstd).matrix(qkv).address(qWeight).address(kWeight).real(eps).number(qkv.rows())
                .integer(shape.numAttentionHeads()).integer(shape.numKeyValueHeads()).integer(shape.headDim()).integer(qWeight.type()).integer(kWeight.type())
                .launch(Math.ceilDiv(qkv.rows() * heads, WARPS), THREADS);
        return y;
    }

    void headBackward(Tensor dQkv, CudaTensor qkv, AttentionShape shape, Parameter qWeight, Parameter kWeight, Tensor rstd) {
        int queries = shape.numAttentionHeads(), keys = shape.numKeyValueHeads(), heads = queries + keys;
        weightGradient(qWeight, dQkv, qkv, rstd, 0, queries, heads, shape.headDim());
        weightGradient(kWeight, dQkv, qkv, rstd, queries, keys, heads, shape.headDim());
        CudaTensor q = CudaTensor.of(qWeight.value()), k = CudaTensor.of(kWeight.value());
        ops.kernel(SOURCE, "head_norm_backward").matrix(dQkv).matrix(qkv).address(q).address(k).address(rstd).number(qkv.rows()).integer(queries).integer(keys)
                .integer(shape.headDim()).integer(q.type()).integer(k.type()).launch(Math.ceilDiv(qkv.rows() * heads, WARPS), THREADS);
    }

    private void weightGradient(Parameter weight, Tensor dY, CudaTensor x, Tensor rstd, int firstHead, int heads, int allHeads, int headDim) {
        if (weight.isTrained()) {
            ops.kernel(SOURCE, "head_norm_weight_gradient").address(weight.gradient()).matrix(dY).matrix(x).address(rstd).number(x.rows()).integer(firstHead).integer(heads)
                    .integer(allHeads).integer(headDim).launch(headDim, THREADS);
        }
    }
}
