package jqlora.ops.cuda;

import java.util.Set;
import java.util.function.Predicate;
import jqlora.ops.Activation;
import jqlora.ops.Dropout;
import jqlora.ops.Input;
import jqlora.ops.LinearGroup;
import jqlora.ops.LinearWeights;
import jqlora.ops.LoraFactors;
import jqlora.ops.Weight;
import jqlora.ops.cuda.Matmul.Mat;

/**
 * A gated MLP backwards. The kernel of the activation's backward multiplies what it makes, while it is
 * at hand, with what the gradients of the adapters need: the activation is not written for the gradient of down's A, nor the gradients of gate and up read
 * once more for those of their B.
 */
final class CudaMlp {
    private static final String SOURCE = "gated";
    private static final Set<Activation> WITH_ADAPTERS = Set.of(Activation.SILU, Activation.GELU, Activation.GELU_TANH);
    /** As in the source: columns of a block, rows at once, and elements between the rows of its tiles. */
    private static final int SPAN = 64, STEP = 32, PITCH = SPAN + 8, FACTORS = 3, TILE = 16;
    private static final int THREADS = 256, MOST_RANK = 64, MOST_PARTS = 8, FEWEST_ROWS = 256;

    private final CudaOps ops;
    private final CudaLinear linear;
    private final CudaNorm norms;

    CudaMlp(CudaOps ops, CudaLinear linear, CudaNorm norms) {
        this.ops = ops;
        this.linear = linear;
        this.norms = norms;
    }

    /** Whether the kernel can do it: where products are in bfloat16, without dropout. */
    static boolean takes(GatedChain mlp, Dropout dropout, Predicate<LinearGroup> isInFp8) {
        long n = mlp.gateLayer().weight().outFeatures();
        boolean readsActivation = mlp.downLayer().weight() instanceof Weight.Dense(var parameter) && parameter.isTrained();
        LinearGroup gateUp = mlp.gateUp().group(), down = mlp.down().group();
        return WITH_ADAPTERS.contains(mlp.activation()) && !gateUp.isDropped(dropout) && !down.isDropped(dropout) && !isInFp8.test(gateUp) && !isInFp8.test(down)
                && n == mlp.upLayer().weight().outFeatures() && n % SPAN == 0 && !readsActivation
                && rank(mlp.gateLayer()) <= MOST_RANK && rank(mlp.upLayer()) <= MOST_RANK && rank(mlp.downLayer()) <= MOST_RANK
                && (isTrained(mlp.gateLayer(), false) || isTrained(mlp.upLayer(), false) || isTrained(mlp.downLayer(), true));
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
    static long floatsOfSums(long rows, GatedChain mlp) {
        return parts(rows) * mlp.gateLayer().weight().outFeatures() * (rank(mlp.gateLayer()) + rank(mlp.upLayer()) + rank(mlp.downLayer()));
    }

    /**
     * As {@link jqlora.ops.LayerOps#linearBackward}, of a chain that {@link #takes takes} allows.
     *
     * @param dX may be dY
     */
    void backward(CudaTensor dX, CudaTensor dY, GatedChain mlp, Dropout dropout) {
        CudaTensor gateUp = CudaTensor.toChange(mlp.down().input().x()), gateUpInner = CudaTensor.orNull(mlp.gateUp().inner());
        try (CudaTensor dActivated = ops.matrix(gateUp.rows(), gateUp.columns() / 2)) {
            linear.backward(dActivated, dY, dInner -> {
                activationBackward(mlp, gateUp, dActivated, dInner, gateUpInner);
                return dActivated;
            }, mlp.down().group(), CudaTensor.orNull(mlp.down().inner()), dropout.key(), CudaLinear.Gradients.OF_B);
        }
        Input.Normed normed = mlp.normed();
        norms.linearBackward(linear, dX, gateUp, CudaTensor.of(normed.x()), normed.norm(), normed.statistics(), mlp.gateUp().group(), gateUpInner, dropout.key(),
                CudaLinear.Gradients.OF_A);
    }

    /** @param dInner the gradient of what down's A gives, [rows, rank]; null without an adapter */
    private void activationBackward(GatedChain mlp, CudaTensor gateUp, CudaTensor dActivated, Mat dInner, CudaTensor inner) {
        long rows = gateUp.rows(), n = gateUp.columns() / 2;
        int gateRank = rank(mlp.gateLayer()), upRank = rank(mlp.upLayer()), downRank = rank(mlp.downLayer()), rowsOfBlock = rowsOfBlock(rows), parts = parts(rows);
        int tiles = Integer.highestOneBit(Math.max(1, Math.ceilDiv(Math.max(downRank, Math.max(gateRank, upRank)), TILE) * 2 - 1));
        try (CudaTensor sums = ops.floats(floatsOfSums(rows, mlp), 1)) {
            long ofDown = sums.address(), ofGate = ofDown + 4 * parts * n * downRank, ofUp = ofGate + 4 * parts * n * gateRank;
            Kernel kernel = ops.kernel(SOURCE, CudaActivations.name(mlp.activation()) + "_backward_adapters" + tiles).matrix(gateUp).matrix(dActivated).matrix(gateUp)
                    .integer(rows).integer(n).integer(rowsOfBlock);
            factor(kernel, dInner == null ? 0 : dInner.address(), dInner == null ? 0 : dInner.stride(), ofDown, downRank);
            factor(kernel, CudaTensor.address(inner), inner == null ? 0 : inner.stride(), ofGate, gateRank);
            factor(kernel, CudaTensor.address(inner) + 2L * gateRank, inner == null ? 0 : inner.stride(), ofUp, upRank);
            kernel.shared(2 * 2 * FACTORS * STEP * (PITCH + TILE * tiles + 8)).launch(n / SPAN, parts, THREADS, 1);

            LoraFactors gate = mlp.gateLayer().lora(), up = mlp.upLayer().lora(), down = mlp.downLayer().lora();
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
