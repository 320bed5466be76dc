package jqlora.ops.cuda;

import java.util.List;
import jqlora.ops.DropoutMask;
import jqlora.ops.LinearWeights;
import jqlora.ops.LoraFactors;
import jqlora.ops.cuda.Matmul.Mat;
import jqlora.ops.cuda.Operands.Operand;

/**
 * The products of adapters whose input is dropped, each with a mask of its own. Where a row is whole groups of eight elements the mask is made within the
 * product; elsewhere the dropped input is written.
 */
final class CudaDropout {
    private static final String SOURCE = "dropout";
    private static final int TILE_ROWS = 16, FEW = 16, MANY = 64, THREADS = 256, MOST_TOGETHER = 4;
    /** Of the gradient of A: columns of a block, the largest part of a rank, and the blocks that keep a device busy. */
    private static final int COLUMNS = 64, RANK_OF_A_BLOCK = 32, BLOCKS = 512;
    private static final long ROWS_AT_ONCE = 128;

    private final CudaOps ops;
    private final Matmul matmul;
    private final Transfers transfers;

    CudaDropout(CudaOps ops, Matmul matmul, Transfers transfers) {
        this.ops = ops;
        this.matmul = matmul;
        this.transfers = transfers;
    }

    static boolean isDropped(List<LinearWeights> group, long dropoutKey) {
        if (dropoutKey != 0) {
            for (LinearWeights linear : group) {
                if (linear.lora() != null && linear.lora().dropout() > 0) {
                    return true;
                }
            }
        }
        return false;
    }

    private static boolean isWhole(CudaTensor x) {
        return x.columns() % DropoutMask.GROUP == 0;
    }

    /** Overwrites {@code room} with what the adapters make of x. */
    void inner(CudaTensor x, Mat room, List<LinearWeights> group, Operand operand, long dropoutKey) {
        transfers.fillZero(room.address(), room.stride(), room.columns(), x.rows());
        long column = 0;
        for (LinearWeights linear : group) {
            if (linear.lora() != null) {
                LoraFactors lora = linear.lora();
                Mat out = room.columns(column, lora.r()), a = operand.a().rows(column, lora.r());
                if (lora.dropout() == 0) {
                    matmul.multiply(Mat.of(x), false, a, true, out);
                } else if (isWhole(x)) {
                    DropoutMask mask = new DropoutMask(dropoutKey, lora.module(), lora.dropout());
                    boolean few = lora.r() <= FEW;
                    ops.kernel(SOURCE, few ? "dropped_product" : "dropped_product_of_many").number(out.address()).number(out.stride()).matrix(x).number(a.address()).number(a.stride())
                            .number(x.rows()).integer(x.columns()).integer(lora.r()).number(dropoutKey).number(lora.module()).integer(mask.threshold()).real(mask.scale())
                            .launch(Math.ceilDiv(x.rows(), (long) TILE_ROWS), few ? 1 : Math.toIntExact(Math.ceilDiv(lora.r(), (long) MANY)), THREADS, 1);
                } else {
                    try (CudaTensor dropped = dropped(x, lora, dropoutKey)) {
                        matmul.multiply(Mat.of(dropped), false, a, true, out);
                    }
                }
                column += lora.r();
            }
        }
    }

    /** Adds the adapters' part of the input's gradient to {@code dX}. */
    void addToInputGradient(CudaTensor dX, Mat dInner, List<LinearWeights> group, Operand operand, long dropoutKey) {
        long column = 0;
        List<LoraFactors> adapters = group.stream().map(LinearWeights::lora).filter(lora -> lora != null).toList();
        for (int i = 0, together; i < adapters.size(); i += together) {
            LoraFactors lora = adapters.get(i);
            Mat part = dInner.columns(column, lora.r()), a = operand.a().rows(column, lora.r());
            together = 1;
            if (lora.dropout() == 0) {
                matmul.multiplyAdd(part, false, a, false, Mat.of(dX), Mat.of(dX));
            } else if (isWhole(dX)) {
                while (together < MOST_TOGETHER && i + together < adapters.size() && adapters.get(i + together).dropout() == lora.dropout()) {
                    together++;
                }
                addProducts(dX, part, a, adapters.subList(i, i + together), dropoutKey);
            } else {
                try (CudaTensor through = ops.matrix(dX.rows(), dX.columns())) {
                    matmul.multiply(part, false, a, false, Mat.of(through));
                    mask("add_dropped", dX, through, lora, dropoutKey);
                }
            }
            for (LoraFactors done : adapters.subList(i, i + together)) {
                column += done.r();
            }
        }
    }

    private void addProducts(CudaTensor dX, Mat dInner, Mat a, List<LoraFactors> adapters, long dropoutKey) {
        DropoutMask mask = new DropoutMask(dropoutKey, adapters.getFirst().module(), adapters.getFirst().dropout());
        Kernel kernel = ops.kernel(SOURCE, "add_dropped_products").matrix(dX).number(dInner.address()).number(dInner.stride()).number(a.address()).number(a.stride())
                .number(dX.rows()).integer(dX.columns()).number(dropoutKey).integer(mask.threshold()).real(mask.scale()).integer(adapters.size());
        for (int i = 0; i < MOST_TOGETHER; i++) {
            kernel.integer(i < adapters.size() ? adapters.get(i).r() : 0);
        }
        for (int i = 0; i < MOST_TOGETHER; i++) {
            kernel.integer(i < adapters.size() ? adapters.get(i).module() : 0);
        }
        kernel.launch(Math.ceilDiv(dX.columns(), 256L), Math.toIntExact(Math.ceilDiv(dX.rows(), 32L)), THREADS, 1);
    }

    /** Adds to A's gradient. */
    void addToGradientOfA(Mat dInner, CudaTensor x, LoraFactors lora, long dropoutKey) {
        CudaTensor gradient = CudaTensor.of(lora.a().gradient());
        Mat out = CudaLinear.floats(gradient);
        if (lora.dropout() == 0) {
            matmul.multiplyAdd(dInner, true, Mat.of(x), false, out, out);
        } else if (isWhole(x)) {
            DropoutMask mask = new DropoutMask(dropoutKey, lora.module(), lora.dropout());
            long stripes = Math.ceilDiv(x.columns(), (long) COLUMNS), most = Math.ceilDiv(x.rows(), ROWS_AT_ONCE);
            long rowsOfPart = Math.ceilDiv(most, Math.clamp(BLOCKS / stripes, 1, most)) * ROWS_AT_ONCE;
            int parts = Math.toIntExact(Math.ceilDiv(x.rows(), rowsOfPart));
            boolean few = lora.r() <= FEW;
            try (CudaTensor sums = ops.floats(parts, lora.r() * x.columns())) {
                ops.kernel(SOURCE, few ? "dropped_gradient" : "dropped_gradient_of_many").address(sums).number(dInner.address()).number(dInner.stride()).matrix(x).number(x.rows())
                        .integer(x.columns()).integer(lora.r()).number(dropoutKey).number(lora.module()).integer(mask.threshold()).number(rowsOfPart)
                        .launch(stripes * (few ? 1 : Math.ceilDiv(lora.r(), (long) RANK_OF_A_BLOCK)), parts, THREADS, 1);
                ops.kernel(SOURCE, "add_parts").address(gradient).address(sums).integer(parts).number(gradient.shape().size()).real(mask.scale()).launchFor(gradient.shape().size());
            }
        } else {
            try (CudaTensor dropped = dropped(x, lora, dropoutKey)) {
                matmul.multiplyAdd(dInner, true, Mat.of(dropped), false, out, out);
            }
        }
    }

    private CudaTensor dropped(CudaTensor x, LoraFactors lora, long dropoutKey) {
        CudaTensor copy = ops.matrix(x.rows(), x.columns());
        mask("dropped", copy, x, lora, dropoutKey);
        return copy;
    }

    private void mask(String kernel, CudaTensor out, CudaTensor x, LoraFactors lora, long dropoutKey) {
        long elements = x.shape().size();
        DropoutMask mask = new DropoutMask(dropoutKey, lora.module(), lora.dropout());
        ops.kernel(SOURCE, kernel).matrix(out).matrix(x).number(elements).number(x.columns()).number(dropoutKey).number(lora.module()).integer(mask.threshold())
                .real(mask.scale()).launchFor(Math.ceilDiv(elements, (long) DropoutMask.GROUP));
    }
}
