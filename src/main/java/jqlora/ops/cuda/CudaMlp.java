package jqlora.ops.cuda;

import java.util.List;
import java.util.function.Predicate;
import jqlora.ops.GatedMlp;
import jqlora.ops.LinearWeights;
import jqlora.ops.LoraFactors;
import jqlora.ops.Weight;
import jqlora.ops.cuda.Matmul.Mat;
import jqlora.tensor.Tensor;

/**
 * The second half of a layer backwards, see {@link jqlora.ops.Ops#mlpBackward}. The kernel of the activation's backward multiplies what it makes, while it is
 * at hand, with what the gradients of the adapters need: the activation is not written for the gradient of down's A, nor the gradients of gate and up read
 * once more for those of their B.
 */
final class CudaMlp {
    private static final String SOURCE = "gated";
    /** As in the source: columns of a block, rows at once, and elements between the rows of its tiles. */
    private static final int SPAN = 64, STEP = 32, PITCH = SPAN + 8, FACTORS = 3, TILE = 16;
    private static final int THREADS = 256, MOST_RANK = 64, MOST_PARTS = 8, FEWEST_ROWS = 256;

    private final CudaOps ops;
    private final CudaLinear linear;
    private final CudaNorm norms;
    private final CudaGated gated;

    CudaMlp(CudaOps ops, CudaLinear linear, CudaNorm norms, CudaGated gated) {
        this.ops = ops;
        this.linear = linear;
        this.norms = norms;
        this.gated = gated;
    }

    /** Whether the kernel can do it: where products are in bfloat16, without dropout. */
    static boolean takes(GatedMlp mlp, boolean dropped, Predicate<List<LinearWeights>> isInFp8) {
        long n = mlp.gate().weight().outFeatures();
        boolean readsActivation = mlp.down().weight() instanceof Weight.Dense(var parameter) && parameter.isTrained();
        return !dropped && !isInFp8.test(mlp.gateUp()) && !isInFp8.test(mlp.downAlone())
                && n == mlp.up().weight().outFeatures() && n % SPAN == 0 && !readsActivation
                && rank(mlp.gate()) <= MOST_RANK && rank(mlp.up()) <= MOST_RANK && rank(mlp.down()) <= MOST_RANK
                && (isTrained(mlp.gate(), false) || isTrained(mlp.up(), false) || isTrained(mlp.down(), true));
    }

    private static boolean isTrained(LinearWeights layer, boolean a) {
        return layer.lora() != null && (a ? layer.lora().a() : layer.lora().b()).isTrained();
    }

    private static int rank(LinearWeights layer) {
        return layer.lora() == null ? 0 : (int) layer.lora().r();
    }

    private static int rowsOfBlock(long rows) {
        return Math.toIntExact(Math.max(FEWEST_ROWS, Math.ceilDiv(Math.ceilDiv(rows, (long) MOST_PARTS), (long) STEP) * STEP));
    }

    private static int parts(long rows) {
        return Math.toIntExact(Math.ceilDiv(rows, (long) rowsOfBlock(rows)));
    }

    /** Of the sums of all parts of the rows, until they are added up. */
    static long floatsOfSums(long rows, GatedMlp mlp) {
        return parts(rows) * mlp.gate().weight().outFeatures() * (rank(mlp.gate()) + rank(mlp.up()) + rank(mlp.down()));
    }

    void backward(CudaTensor dX, GatedMlp mlp, CudaTensor x, Tensor statistics, CudaTensor gateUpInner, CudaTensor gateUp, CudaTensor downInner, long dropoutKey) {
        boolean dropped = CudaDropout.isDropped(mlp.gateUp(), dropoutKey) || CudaDropout.isDropped(mlp.downAlone(), dropoutKey);
        boolean inOne = takes(mlp, dropped, linear::isInFp8);
        if (inOne) {
            try (CudaTensor dActivated = ops.matrix(gateUp.rows(), gateUp.columns() / 2)) {
                linear.backward(dActivated, dX, dInner -> {
                    activationBackward(mlp, gateUp, dActivated, dInner, gateUpInner);
                    return dActivated;
                }, mlp.downAlone(), downInner, dropoutKey, CudaLinear.Gradients.OF_B);
            }
        } else {
            gated.linearBackward(linear, gateUp, dX, gateUp, mlp.activation(), mlp.downAlone(), downInner, dropoutKey);
        }
        norms.linearBackward(linear, dX, gateUp, x, mlp.norm(), statistics, mlp.gateUp(), gateUpInner, dropoutKey, inOne ? CudaLinear.Gradients.OF_A : CudaLinear.Gradients.OF_BOTH);
    }

    /** @param dInner the gradient of what down's A gives, [rows, rank]; null without an adapter */
    private void activationBackward(GatedMlp mlp, CudaTensor gateUp, CudaTensor dActivated, Mat dInner, CudaTensor inner) {
        long rows = gateUp.rows(), n = gateUp.columns() / 2;
        int gateRank = rank(mlp.gate()), upRank = rank(mlp.up()), downRank = rank(mlp.down()), rowsOfBlock = rowsOfBlock(rows), parts = parts(rows);
        int tiles = Integer.highestOneBit(Math.max(1, Math.ceilDiv(Math.max(downRank, Math.max(gateRank, upRank)), TILE) * 2 - 1));
        try (CudaTensor sums = ops.floats(floatsOfSums(rows, mlp), 1)) {
            long ofDown = sums.address(), ofGate = ofDown + 4 * parts * n * downRank, ofUp = ofGate + 4 * parts * n * gateRank;
            Kernel kernel = ops.kernel(SOURCE, CudaGated.name(mlp.activation()) + "_backward_adapters" + tiles).matrix(gateUp).matrix(dActivated).matrix(gateUp)
                    .integer(rows).integer(n).integer(rowsOfBlock);
            factor(kernel, dInner == null ? 0 : dInner.address(), dInner == null ? 0 : dInner.stride(), ofDown, downRank);
            factor(kernel, CudaTensor.address(inner), inner == null ? 0 : inner.stride(), ofGate, gateRank);
            factor(kernel, CudaTensor.address(inner) + 2L * gateRank, inner == null ? 0 : inner.stride(), ofUp, upRank);
            kernel.shared(2 * 2 * FACTORS * STEP * (PITCH + TILE * tiles + 8)).launch(n / SPAN, parts, THREADS, 1);

            LoraFactors gate = mlp.gate().lora(), up = mlp.up().lora(), down = mlp.down().lora();
            ops.kernel(SOURCE, "add_adapter_sums").address(down == null ? null : down.a().gradient()).number(ofDown).integer(downRank)
                    .address(gate == null ? null : gate.b().gradient()).number(ofGate).real(gate == null ? 0f : gate.scaling()).integer(gateRank)
                    .address(up == null ? null : up.b().gradient()).number(ofUp).real(up == null ? 0f : up.scaling()).integer(upRank)
                    .integer(n).integer(parts).launchFor(n * (downRank + gateRank + upRank));
        }
    }

    private static void factor(Kernel kernel, long address, long stride, long sums, int rank) {
        kernel.number(address).number(stride).number(sums).integer(rank);
    }
}
