package jqlora.ops.cpu;

import static jqlora.tensor.TensorView.FLOAT;

import java.lang.foreign.MemorySegment;
import jqlora.ops.Activation;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;

/** {@code activation(gate) up} and {@code activation(x)} of whole rows: the second as the first with every up 1, which changes no bit. */
final class CpuActivations {
    private static final int GRAIN = 4;                           // rows that one task takes at least

    private final CpuOps ops;

    CpuActivations(CpuOps ops) {
        this.ops = ops;
    }

    Tensor gated(Tensor gateUp, Activation activation) {
        int n = (int) (gateUp.shape().dim(1) / 2);
        Tensor y = ops.allocate(DType.F32, gateUp.shape().dim(0), n);
        MemorySegment in = CpuTensor.memory(gateUp), out = CpuTensor.memory(y);
        ops.workers().ranges(gateUp.shape().dim(0), GRAIN, (from, to) -> {
            for (long row = from; row < to; row++) {
                forward(activation, in, row * 2 * n, out, row * n, n);
            }
        });
        return y;
    }

    void gatedBackward(Tensor dGateUp, Tensor dY, Tensor gateUp, Activation activation) {
        int n = (int) (gateUp.shape().dim(1) / 2);
        MemorySegment in = CpuTensor.memory(gateUp), dIn = CpuTensor.memory(dGateUp), dOut = CpuTensor.memory(dY);
        ops.workers().ranges(gateUp.shape().dim(0), GRAIN, (from, to) -> {
            for (long row = from; row < to; row++) {
                backward(activation, dIn, in, row * 2 * n, dOut, row * n, n);
            }
        });
    }

    Tensor plain(Tensor x, Activation activation) {
        int n = (int) x.shape().dim(1);
        Tensor y = ops.allocate(DType.F32, x.shape().toArray());
        MemorySegment in = CpuTensor.memory(x), out = CpuTensor.memory(y);
        ops.workers().ranges(x.shape().dim(0), GRAIN, (from, to) -> {
            MemorySegment pair = withOnes(ops.rowScratch(2L * n), n);
            for (long row = from; row < to; row++) {
                MemorySegment.copy(in, row * n * 4, pair, 0, n * 4L);
                forward(activation, pair, 0, out, row * n, n);
            }
        });
        return y;
    }

    void plainBackward(Tensor dX, Tensor dY, Tensor x, Activation activation) {
        int n = (int) x.shape().dim(1);
        MemorySegment in = CpuTensor.memory(x), dIn = CpuTensor.memory(dX), dOut = CpuTensor.memory(dY);
        ops.workers().ranges(x.shape().dim(0), GRAIN, (from, to) -> {
            MemorySegment scratch = ops.rowScratch(4L * n), pair = withOnes(scratch, n), gradient = scratch.asSlice(8L * n);
            for (long row = from; row < to; row++) {
                MemorySegment.copy(in, row * n * 4, pair, 0, n * 4L);
                backward(activation, gradient, pair, 0, dOut, row * n, n);
                MemorySegment.copy(gradient, 0, dIn, row * n * 4, n * 4L);
            }
        });
    }

    private static MemorySegment withOnes(MemorySegment pair, int n) {
        for (long i = n; i < 2L * n; i++) {
            pair.set(FLOAT, i * 4, 1f);
        }
        return pair;
    }

    private void forward(Activation activation, MemorySegment in, long gate, MemorySegment out, long at, int n) {
        switch (activation) {
            case SILU -> ops.math().silu(in, gate, gate + n, out, at, n);
            case GELU -> ops.math().gelu(in, gate, gate + n, out, at, n);
            case GELU_TANH -> ops.math().geluTanh(in, gate, gate + n, out, at, n);
            case RELU -> ops.math().relu(in, gate, gate + n, out, at, n);
            case RELU_SQUARED -> ops.math().reluSquared(in, gate, gate + n, out, at, n);
        }
    }

    private void backward(Activation activation, MemorySegment dIn, MemorySegment in, long gate, MemorySegment dOut, long at, int n) {
        switch (activation) {
            case SILU -> ops.math().siluBackward(dIn, in, gate, gate + n, dOut, at, n);
            case GELU -> ops.math().geluBackward(dIn, in, gate, gate + n, dOut, at, n);
            case GELU_TANH -> ops.math().geluTanhBackward(dIn, in, gate, gate + n, dOut, at, n);
            case RELU -> ops.math().reluBackward(dIn, in, gate, gate + n, dOut, at, n);
            case RELU_SQUARED -> ops.math().reluSquaredBackward(dIn, in, gate, gate + n, dOut, at, n);
        }
    }
}
