package jqlora.ops.cuda;

import java.util.List;
import jqlora.ops.Activation;
import jqlora.ops.LinearWeights;

/** {@code activation(gate) up}. Where products are in FP8, the results are written in e4m3 too, since a product reads them next. */
final class CudaGated {
    private static final String SOURCE = "gated";
    private static final int CHUNK = 8, HELD = 7, HELD_PAIRS = 4, WARP = 32, MOST_THREADS = 1024, MOST_THREADS_OF_PAIRS = 448;

    private final CudaOps ops;

    CudaGated(CudaOps ops) {
        this.ops = ops;
    }

    CudaTensor forward(CudaTensor gateUp, Activation activation) {
        long rows = gateUp.rows(), n = gateUp.columns() / 2;
        int threads = threads(n, HELD);
        CudaTensor y = ops.matrix(rows, n);
        Fp8Rows eights = threads <= MOST_THREADS ? ops.fp8Rows(rows, n) : null;
        String name = name(activation);
        if (eights != null) {
            ops.kernel(SOURCE, name + "_rows_e4m3").matrix(y).address(eights.codes()).address(eights.scales()).matrix(gateUp).integer(n).launch(rows, threads);
            y.setFp8(eights);
        } else {
            ops.kernel(SOURCE, isWide(n) ? name + "8" : name).matrix(y).matrix(gateUp).number(rows).integer(n).launchFor(elements(rows, n));
        }
        return y;
    }

    /** @param again whether the activation takes the place of dY */
    void backward(CudaTensor dGateUp, CudaTensor dY, CudaTensor gateUp, Activation activation, boolean again) {
        long rows = gateUp.rows(), n = gateUp.columns() / 2;
        int threads = threads(n, HELD_PAIRS);
        Fp8Rows eights = threads <= MOST_THREADS_OF_PAIRS ? ops.fp8Rows(rows, 2 * n) : null;
        String name = name(activation) + "_backward";
        if (eights != null) {
            ops.kernel(SOURCE, name + "_rows_e4m3").matrix(dGateUp).address(eights.codes()).address(eights.scales()).matrix(dY).matrix(gateUp).integer(n).integer(again ? 1 : 0)
                    .launch(rows, threads);
            dGateUp.setFp8(eights);
        } else {
            ops.kernel(SOURCE, isWide(n) ? name + "8" : name).matrix(dGateUp).matrix(dY).matrix(gateUp).number(rows).integer(n).integer(again ? 1 : 0)
                    .launchFor(elements(rows, n));
        }
    }

    /** The backward of {@code layers}, which read the result, and then of the activation; see {@link jqlora.ops.Ops#gatedLinearBackward}. */
    void linearBackward(CudaLinear layers, CudaTensor dGateUp, CudaTensor dY, CudaTensor gateUp, Activation activation, List<LinearWeights> group, CudaTensor inner, long dropoutKey) {
        try (CudaTensor activated = ops.matrix(gateUp.rows(), gateUp.columns() / 2)) {
            layers.backward(activated, dY, dInner -> {
                backward(dGateUp, activated, gateUp, activation, true);
                return activated;
            }, group, inner, dropoutKey, CudaLinear.Gradients.OF_BOTH);
        }
    }

    /** What the kernels of an activation begin with. */
    static String name(Activation activation) {
        return switch (activation) {
            case SILU -> "silu";
            case GELU -> "gelu";
            case GELU_TANH -> "gelu_tanh";
        };
    }

    private static boolean isWide(long n) {
        return n % CHUNK == 0;
    }

    private static long elements(long rows, long n) {
        return rows * (isWide(n) ? n / CHUNK : n);
    }

    /** Of a block that holds a row, each thread {@code held} chunks of it. */
    private static int threads(long n, int held) {
        return Math.toIntExact(Math.ceilDiv(n, (long) CHUNK * held * WARP) * WARP);
    }
}
