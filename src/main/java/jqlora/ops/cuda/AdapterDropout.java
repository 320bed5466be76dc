package jqlora.ops.cuda;

import java.util.List;
import jqlora.ops.DropoutMask;
import jqlora.ops.LinearWeights;
import jqlora.ops.LoraFactors;
import jqlora.ops.cuda.Matmul.Mat;

/** Adapters whose input has dropout: each of a group has a mask of its own, which is made again from its key wherever it is needed. */
final class AdapterDropout {
    private final CudaOps ops;
    private final Matmul matmul;
    private final Transfers transfers;

    AdapterDropout(CudaOps ops, Matmul matmul, Transfers transfers) {
        this.ops = ops;
        this.matmul = matmul;
        this.transfers = transfers;
    }

    static boolean applies(List<LinearWeights> group, long dropoutKey) {
        if (dropoutKey != 0) {
            for (LinearWeights linear : group) {
                if (linear.lora() != null && linear.lora().dropout() > 0) {
                    return true;
                }
            }
        }
        return false;
    }

    /**
     * {@code inner = dropout(x) A^T}, adapter by adapter; zero in the columns of none.
     *
     * @param a the factors one below the other
     */
    void inner(CudaTensor x, Mat inner, List<LinearWeights> group, Mat a, long dropoutKey) {
        transfers.fillZero(inner.address(), inner.stride(), inner.columns(), x.rows());
        long column = 0;
        for (LinearWeights linear : group) {
            if (linear.lora() != null) {
                long r = linear.lora().r();
                try (Masked masked = Masked.of(ops, x, linear.lora(), dropoutKey)) {
                    matmul.multiply(Mat.of(masked.tensor), false, a.rows(column, r), true, inner.columns(column, r));
                }
                column += r;
            }
        }
    }

    /** {@code dX += dropout(dInner A)}. */
    void addInputGradient(CudaTensor dX, Mat dInner, List<LinearWeights> group, Mat factors, long dropoutKey) {
        long column = 0;
        for (LinearWeights linear : group) {
            if (linear.lora() != null) {
                LoraFactors lora = linear.lora();
                Mat part = dInner.columns(column, lora.r()), a = factors.rows(column, lora.r());
                if (lora.dropout() == 0) {
                    matmul.multiplyAdd(part, false, a, false, Mat.of(dX), Mat.of(dX));
                } else if (dX.columns() % DropoutMask.GROUP == 0) {
                    DropoutMask mask = new DropoutMask(dropoutKey, lora.module(), lora.dropout());
                    ops.kernel("linear", "add_dropped_product").matrix(dX).number(part.address()).number(part.stride()).number(a.address()).number(a.stride())
                            .number(dX.rows()).integer(dX.columns()).integer(lora.r()).number(dropoutKey).number(lora.module()).integer(mask.threshold()).real(mask.scale())
                            .launch(Math.ceilDiv(dX.columns(), 256L), Math.toIntExact(Math.ceilDiv(dX.rows(), 32L)), 256, 1);
                } else {
                    try (CudaTensor through = ops.matrix(dX.rows(), dX.columns())) {
                        matmul.multiply(part, false, a, false, Mat.of(through));
                        mask(ops, "add_dropped", dX, through, lora, dropoutKey);
                    }
                }
                column += lora.r();
            }
        }
    }

    /** {@code dA += dInner^T dropout(x)}, of one adapter. */
    void addAGradient(Mat dInner, CudaTensor x, LoraFactors lora, long dropoutKey) {
        try (Masked masked = Masked.of(ops, x, lora, dropoutKey)) {
            Mat gradient = Mat.floats(CudaTensor.of(lora.a().gradient()));
            matmul.multiplyAdd(dInner, true, Mat.of(masked.tensor), false, gradient, gradient);
        }
    }

    private static void mask(CudaOps ops, String kernel, CudaTensor out, CudaTensor x, LoraFactors lora, long dropoutKey) {
        long elements = x.shape().size();
        DropoutMask mask = new DropoutMask(dropoutKey, lora.module(), lora.dropout());
        ops.kernel("linear", kernel).matrix(out).matrix(x).number(elements).number(x.columns()).number(dropoutKey).number(lora.module()).integer(mask.threshold())
                .real(mask.scale()).launchFor(Math.ceilDiv(elements, (long) DropoutMask.GROUP));
    }

    /** What an adapter reads: x itself, or x with dropped elements zeroed and the others scaled up. */
    private record Masked(CudaTensor tensor, boolean isCopy) implements AutoCloseable {
        static Masked of(CudaOps ops, CudaTensor x, LoraFactors lora, long dropoutKey) {
            if (lora.dropout() == 0) {
                return new Masked(x, false);
            }
            CudaTensor copy = ops.matrix(x.rows(), x.columns());
            if (x.columns() % DropoutMask.GROUP == 0) {
                DropoutMask mask = new DropoutMask(dropoutKey, lora.module(), lora.dropout());
                long groups = x.shape().size() / DropoutMask.GROUP;
                ops.kernel("linear", "dropped8").matrix(copy).matrix(x).integer(groups).integer(x.columns() / DropoutMask.GROUP).number(dropoutKey).number(lora.module())
                        .integer(mask.threshold()).real(mask.scale()).launchFor(groups);
            } else {
                mask(ops, "dropped", copy, x, lora, dropoutKey);
            }
            return new Masked(copy, true);
        }

        @Override
        public void close() {
            if (isCopy) {
                tensor.close();
            }
        }
    }
}
