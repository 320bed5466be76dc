package jqlora.ops.cuda;

import java.util.List;
import jqlora.ops.AttentionShape;
import jqlora.ops.HeadNorms;
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

    // ---- heads: queries and keys are normalised, values are copied

    /** Vectors of {@code dim} elements that the kernels take for heads: queries, then keys, from a column on; and where their statistics begin. */
    private record Part(long column, int queries, int keys, int dim, Norm.Rms query, Norm.Rms key, long statistics) { }

    /** All heads at once; or, across heads, queries as one head and keys as another. */
    private static List<Part> parts(AttentionShape shape, HeadNorms norms, Tensor rstd) {
        int queries = shape.numAttentionHeads(), keys = shape.numKeyValueHeads();
        long statistics = CudaTensor.of(rstd).address();
        return !norms.acrossHeads() ? List.of(new Part(0, queries, keys, shape.headDim(), norms.query(), norms.key(), statistics))
                : List.of(new Part(0, 1, 0, shape.queryColumns(), norms.query(), norms.query(), statistics),
                        new Part(shape.queryColumns(), 1, 0, shape.keyColumns(), norms.key(), norms.key(), statistics + 4 * rstd.shape().dim(0)));
    }

    CudaTensor headForward(CudaTensor qkv, AttentionShape shape, HeadNorms norms, Tensor rstd) {
        CudaTensor y = ops.matrix(qkv.rows(), qkv.columns());
        if (norms.acrossHeads()) {
            ops.copyInto(y, qkv);
        }
        for (Part part : parts(shape, norms, rstd)) {
            CudaTensor query = CudaTensor.of(part.query.weight().value()), key = CudaTensor.of(part.key.weight().value());
            ops.kernel(SOURCE, "head_norm").number(y.address() + 2 * part.column).number(y.stride()).number(part.statistics).number(qkv.address() + 2 * part.column).number(qkv.stride())
                    .address(query).address(key).real(part.query.weightOffset()).real(part.query.eps()).number(qkv.rows()).integer(part.queries).integer(part.keys).integer(part.dim)
                    .integer(query.type()).integer(key.type()).launch(Math.ceilDiv(qkv.rows() * (part.queries + 2L * part.keys), WARPS), THREADS);
        }
        return y;
    }

    void headBackward(CudaTensor dQkv, CudaTensor qkv, AttentionShape shape, HeadNorms norms, Tensor rstd) {
        for (Part part : parts(shape, norms, rstd)) {
            int heads = part.queries + part.keys;
            weightGradient(part.query.weight(), dQkv, qkv, part, 0, part.queries);
            if (part.keys > 0) {
                weightGradient(part.key.weight(), dQkv, qkv, part, part.queries, part.keys);
            }
            CudaTensor query = CudaTensor.of(part.query.weight().value()), key = CudaTensor.of(part.key.weight().value());
            ops.kernel(SOURCE, "head_norm_backward").number(dQkv.address() + 2 * part.column).number(dQkv.stride()).number(qkv.address() + 2 * part.column).number(qkv.stride())
                    .address(query).address(key).real(part.query.weightOffset()).number(part.statistics).number(qkv.rows()).integer(part.queries).integer(part.keys)
                    .integer(part.dim).integer(query.type()).integer(key.type()).launch(Math.ceilDiv(qkv.rows() * heads, (long) WARPS), THREADS);
        }
    }

    private void weightGradient(Parameter weight, CudaTensor dY, CudaTensor x, Part part, int firstHead, int heads) {
        if (weight.isTrained()) {
            ops.kernel(SOURCE, "head_norm_weight_gradient").address(weight.gradient()).number(dY.address() + 2 * part.column).number(dY.stride())
                    .number(x.address() + 2 * part.column).number(x.stride()).number(part.statistics).number(x.rows()).integer(firstHead).integer(heads)
                    .integer(part.queries + part.keys).integer(part.dim).launch(part.dim, THREADS);
        }
    }
}
