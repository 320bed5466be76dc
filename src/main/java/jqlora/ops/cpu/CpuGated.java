package jqlora.ops.cpu;

import java.lang.foreign.MemorySegment;
import jqlora.ops.Activation;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;

/** {@code activation(gate) up} of whole rows. */
final class CpuGated {
    private static final int GRAIN = 4;                           // rows that one task takes at least

    private final CpuOps ops;

    CpuGated(CpuOps ops) {
        this.ops = ops;
    }

    Tensor forward(Tensor gateUp, Activation activation) {
        int n = (int) (gateUp.shape().dim(1) / 2);
        Tensor y = ops.allocate(DType.F32, gateUp.shape().dim(0), n);
        MemorySegment in = CpuTensor.memory(gateUp), out = CpuTensor.memory(y);
        ops.workers().ranges(gateUp.shape().dim(0), GRAIN, (from, to) -> {
            for (long row = from; row < to; row++) {
                long gate = row * 2 * n, up = gate + n;
                switch (activation) {
                    case SILU -> ops.math().silu(in, gate, up, out, row * n, n);
                    case GELU -> ops.math().gelu(in, gate, up, out, row * n, n);
                    case GELU_TANH -> ops.math().geluTanh(in, gate, up, out, row * n, n);
                }
            }
        });
        return y;
    }

    void backward(Tensor dGateUp, Tensor dY, Tensor gateUp, Activation activation) {
        int n = (int) (gateUp.shape().dim(1) / 2);
        MemorySegment in = CpuTensor.memory(gateUp), dIn = CpuTensor.memory(dGateUp), dOut = CpuTensor.memory(dY);
        ops.workers().ranges(gateUp.shape().dim(0), GRAIN, (from, to) -> {
            for (long row = from; row < to; row++) {
                long gate = row * 2 * n, up = gate + n;
                switch (activation) {
                    case SILU -> ops.math().siluBackward(dIn, in, gate, up, dOut, row * n, n);
                    case GELU -> ops.math().geluBackward(dIn, in, gate, up, dOut, row * n, n);
                    case GELU_TANH -> ops.math().geluTanhBackward(dIn, in, gate, up, dOut, row * n, n);
                }
            }
        });
    }
}
