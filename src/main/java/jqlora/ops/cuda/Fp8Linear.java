package jqlora.ops.cuda;

import java.util.List;
import jqlora.ops.LinearGroup;
import jqlora.ops.LinearWeights;
import jqlora.ops.cuda.Matmul.Mat;
import jqlora.ops.cuda.Operands.Eights;

/**
 * Linear layers of 4-bit weights whose products are of 8-bit floats, e4m3 with float32 scales: one for each token of x or dy, one for each row of what
 * the weights are decoded to. The adapters' part is computed in bfloat16 before, and the product adds itself to it.
 */
final class Fp8Linear {
    private static final int CHUNK = 8, CHUNKS_OF_A_THREAD = 7, FEWEST_THREADS = 128, MOST_THREADS = 1024, ROWS_OF_A_GRID = 32_768;

    private final CudaStage stage;
    private final DeviceMemory memory;
    private final Matmul matmul;
    private final Operands operands;
    private final CudaDropout dropout;
    private final boolean scalesApart;

    /** @param scalesApart whether products are scaled by a kernel of their own, as where cuBLASLt does not do it */
    Fp8Linear(CudaStage stage, DeviceMemory memory, Matmul matmul, Operands operands, CudaDropout dropout, boolean scalesApart) {
        this.stage = stage;
        this.memory = memory;
        this.matmul = matmul;
        this.operands = operands;
        this.dropout = dropout;
        this.scalesApart = scalesApart;
    }

    /** As in {@link CudaLinear}, without biases. */
    CudaTensor forward(CudaTensor x, LinearGroup group, CudaTensor inner, long dropoutKey, CudaTensor added) {
        Eights weights = operands.acquireEights(group, false);
        CudaTensor y = stage.matrix(x.rows(), weights.weight().rows());
        Mat sum = added == null ? null : Mat.of(added);
        if (weights.rank() > 0) {
            if (CudaDropout.isDropped(group, dropoutKey)) {
                dropout.inner(x, Mat.of(inner), group, weights.a(), dropoutKey);
            } else {
                matmul.multiply(Mat.of(x), false, weights.a(), true, Mat.of(inner));
            }
            if (sum == null) {
                matmul.multiply(Mat.of(inner), false, weights.b(), true, Mat.of(y));
            } else {
                matmul.multiplyAdd(Mat.of(inner), false, weights.b(), true, sum, Mat.of(y));
            }
            sum = Mat.of(y);
        }
        product(x, weights, sum, Mat.of(y));
        operands.release(weights.buffer());
        return y;
    }

    /**
     * @param dX overwritten; null when nothing below is trained
     * @param dInner overwritten with {@code dy sB}; null without adapters
     * @param drops as {@link CudaDropout#addToInputGradient} writes it; null without dropout
     */
    void backward(CudaTensor dX, CudaTensor dY, CudaTensor dInner, LinearGroup group, long dropoutKey, CudaTensor drops) {
        Eights weights = operands.acquireEights(group, true);
        boolean dropped = CudaDropout.isDropped(group, dropoutKey);
        if (dInner != null) {
            matmul.multiply(Mat.of(dY), false, weights.b(), false, Mat.of(dInner));
        }
        if (dX != null) {
            Mat sum = dInner == null || dropped ? null : Mat.of(dX);
            if (sum != null) {
                matmul.multiply(Mat.of(dInner), false, weights.a(), false, sum);
            }
            product(dY, weights, sum, Mat.of(dX));
            if (dropped) {
                dropout.addToInputGradient(dX, Mat.of(dInner), group, weights.a(), dropoutKey, drops);
            }
        }
        operands.release(weights.buffer());
    }

    /** {@code out = x weight^T + added}. */
    private void product(CudaTensor x, Eights weights, Mat added, Mat out) {
        long rows = x.rows(), columns = x.columns();
        Fp8Rows made = x.fp8() == null ? eights(x) : null, eights = made == null ? x.fp8() : made;
        try (made) {
            Mat codes = Mat.eights(eights.codes().address(), rows, columns);
            if (!scalesApart) {
                matmul.multiplyEights(codes, eights.scales().address(), weights.weight(), weights.scales(), added, out);
                return;
            }
            try (CudaTensor product = stage.matrix(rows, out.columns())) {
                matmul.multiplyEights(codes, weights.weight(), Mat.of(product));
                stage.kernel("fp8", "scaled_product").number(out.address()).number(out.stride()).matrix(product).address(eights.scales()).number(weights.scales())
                        .number(added == null ? 0 : added.address()).number(added == null ? 0 : added.stride()).number(rows).integer(out.columns())
                        .launch(Math.ceilDiv(out.columns(), CHUNK * 128L), (int) Math.min(rows, ROWS_OF_A_GRID), 128, 1);
            }
        }
    }

    private Fp8Rows eights(CudaTensor x) {
        Fp8Rows made = Fp8Rows.allocate(memory, x.rows(), x.columns());
        int threads = Math.clamp(Long.highestOneBit(Math.max(1, Math.ceilDiv(x.columns(), (long) CHUNK * CHUNKS_OF_A_THREAD) - 1)) * 2, FEWEST_THREADS, MOST_THREADS);
        stage.kernel("fp8", "e4m3_rows").address(made.codes()).address(made.scales()).matrix(x).integer(x.columns()).launch(x.rows(), threads);
        return made;
    }
}
