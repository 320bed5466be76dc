package jqlora.ops.cuda;

import jqlora.ops.Activation;
import jqlora.ops.Input;
import jqlora.ops.LinearGroup;

/** {@code activation(gate) up} and {@code activation(x)}. Where products are in FP8, the results of gates are written in e4m3 too, since a product reads them next. */
final class CudaActivations {
    private static final String SOURCE = "gated";
    private static final int CHUNK = 8, HELD = 7, HELD_PAIRS = 4, WARP = 32, MOST_THREADS = 1024, MOST_THREADS_OF_PAIRS = 448;

    private final CudaOps ops;

    CudaActivations(CudaOps ops) {
        this.ops = ops;
    }

    CudaTensor gated(CudaTensor gateUp, Activation activation) {
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
    void gatedBackward(CudaTensor dGateUp, CudaTensor dY, CudaTensor gateUp, Activation activation, boolean again) {
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

    CudaTensor plain(CudaTensor x, Activation activation) {
        CudaTensor y = ops.matrix(x.rows(), x.columns());
        ops.kernel(SOURCE, name(activation) + "_plain").matrix(y).matrix(x).number(x.rows()).integer(x.columns()).launchFor(x.rows() * chunks(x.columns()));
        return y;
    }

    /** @param again whether the activation takes the place of dY */
    void plainBackward(CudaTensor dX, CudaTensor dY, CudaTensor x, Activation activation, boolean again) {
        ops.kernel(SOURCE, name(activation) + "_plain_backward").matrix(dX).matrix(dY).matrix(x).number(x.rows()).integer(x.columns()).integer(again ? 1 : 0)
                .launchFor(x.rows() * chunks(x.columns()));
    }

    private static long chunks(long n) {
        return Math.ceilDiv(n, (long) CHUNK);
    }

    /** The backward of {@code layers}, which read what {@code input} stands for, and then of the activation. */
    void linearBackward(CudaLinear layers, CudaTensor dX, CudaTensor dY, Input input, LinearGroup group, CudaTensor inner, long dropoutKey) {
        CudaTensor x = CudaTensor.of(input.x());
        try (CudaTensor activated = ops.matrix(x.rows(), input.columns())) {
            layers.backward(activated, dY, dInner -> {
                switch (input) {
                    case Input.Gated gated -> gatedBackward(dX, activated, x, gated.activation(), true);
                    case Input.Activated plain -> plainBackward(dX, activated, x, plain.activation(), true);
                    default -> throw new AssertionError(input);
                }
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
            case RELU -> "relu";
            case RELU_SQUARED -> "relu_squared";
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
