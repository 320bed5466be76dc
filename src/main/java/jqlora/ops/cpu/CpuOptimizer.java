package jqlora.ops.cpu;

import static jqlora.tensor.TensorView.DOUBLE;

import java.lang.foreign.MemorySegment;
import java.util.List;
import jqlora.ops.AdamW8bitNumbers;
import jqlora.ops.AdamW8bitState;
import jqlora.ops.AdamWState;
import jqlora.ops.AdamWStep;
import jqlora.ops.EightBitMoment;
import jqlora.ops.Parameter;
import jqlora.tensor.Tensor;

/** The norm of gradients, and AdamW. */
final class CpuOptimizer {
    private final CpuOps ops;

    CpuOptimizer(CpuOps ops) {
        this.ops = ops;
    }

    void gradientNorm(List<Parameter> parameters, Tensor norm) {
        double[] squares = new double[parameters.size()];
        ops.workers().run(squares.length, i -> {
            Tensor gradient = parameters.get(i).gradient();
            MemorySegment memory = CpuTensor.memory(gradient);
            long size = gradient.shape().size();
            for (long at = 0; at < size; at += 4096) {
                squares[i] += ops.math().dot(memory, at, memory, at, (int) Math.min(4096, size - at));
            }
        });
        double sum = 0;
        for (double square : squares) {
            sum += square;
        }
        CpuTensor.memory(norm).set(DOUBLE, 0, Math.sqrt(sum));
    }

    void adamW(List<AdamWState> states, AdamWStep step, Tensor norm) {
        double clip = step.maxGradNorm() == 0 ? 1 : Math.min(1, step.maxGradNorm() / (CpuTensor.memory(norm).get(DOUBLE, 0) + 1e-6));
        var arguments = new RowMath.AdamWArguments((float) (1 - step.learningRate() * step.weightDecay()), (float) clip,
                (float) (1 - step.beta1()), (float) step.beta2(), (float) (1 - step.beta2()), (float) step.eps(),
                (float) (1 / Math.sqrt(1 - Math.pow(step.beta2(), step.step()))), (float) (step.learningRate() / (1 - Math.pow(step.beta1(), step.step()))));
        for (AdamWState state : states) {
            Tensor value = state.parameter().value();
            ops.workers().ranges(value.shape().size(), CpuOps.COPY_GRAIN, (from, to) -> ops.math().adamW(arguments, CpuTensor.memory(value),
                    CpuTensor.memory(state.parameter().gradient()), CpuTensor.memory(state.firstMoment()), CpuTensor.memory(state.secondMoment()),
                    from, (int) (to - from)));
        }
    }

    void adamW8bit(List<AdamW8bitState> states, AdamWStep step, Tensor norm) {
        var update = new CpuAdamW8bit(AdamW8bitNumbers.of(step), AdamW8bitNumbers.clip(step, CpuTensor.memory(norm).get(DOUBLE, 0)));
        for (AdamW8bitState state : states) {
            ops.workers().ranges(state.firstMoment().absmax().shape().size(), CpuOps.COPY_GRAIN / EightBitMoment.BLOCK_SIZE, (from, to) -> update.update(state, from, to));
        }
    }
}
