package jqlora.ops.cuda;

import jqlora.ops.Activation;

/** {@code activation(gate) up}. */
final class CudaGated {
    private static final int CHUNK = 8;

    private final CudaOps ops;

    CudaGated(CudaOps ops) {
        this.ops = ops;
    }

    CudaTensor forward(CudaTensor gateUp, Activation activation) {
        long rows = gateUp.rows(), n = gateUp.columns() / 2;
        CudaTensor y = ops.matrix(rows, n);
        ops.kernel("gated", name(activation, "", n)).matrix(y).matrix(gateUp).number(rows).integer(n).launchFor(threads(rows, n));
        return y;
    }

    /** @param again whether the activation takes the place of dY */
    void backward(CudaTensor dGateUp, CudaTensor dY, CudaTensor gateUp, Activation activation, boolean again) {
        long rows = gateUp.rows(), n = gateUp.columns() / 2;
        ops.kernel("gated", name(activation, "_backward", n)).matrix(dGateUp).matrix(dY).matrix(gateUp).number(rows).integer(n).integer(again ? 1 : 0).launchFor(threads(rows, n));
    }

    private static String name(Activation activation, String pass, long n) {
        String name = switch (activation) {
            case SILU -> "silu";
        };
        return name + pass + (n % CHUNK == 0 ? "8" : "");
    }

    private static long threads(long rows, long n) {
        return rows * (n % CHUNK == 0 ? n / CHUNK : n);
    }
}
