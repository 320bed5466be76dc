package jqlora.ops.cpu;

import static jqlora.tensor.TensorView.DOUBLE;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
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
    private static final int SUMMED = 4096;                       // squares that are summed in float32; the sums of them are in float64
    private static final int UPDATED = 1 << 15, UPDATED_8BIT = 1 << 12; // elements of a piece: some ten microseconds

    private final CpuStage stage;

    CpuOptimizer(CpuStage stage) {
        this.stage = stage;
    }

    /** A part of what is updated: elements, or blocks, {@code from} ... {@code to} - 1 of the tensor with this index. */
    private record Part(int index, long from, long to) { }

    /** Parts of at most {@code most} each, those of a tensor one after the other. */
    private static List<Part> parts(long[] sizes, long most) {
        List<Part> parts = new ArrayList<>();
        for (int i = 0; i < sizes.length; i++) {
            for (long from = 0; from < sizes[i]; from += most) {
                parts.add(new Part(i, from, Math.min(sizes[i], from + most)));
            }
        }
        return parts;
    }

    void gradientNorm(List<Parameter> parameters, Tensor norm) {
        List<Part> parts = parts(parameters.stream().mapToLong(parameter -> parameter.gradient().shape().size()).toArray(), SUMMED);
        double[] dots = new double[parts.size()];
        stage.workers().ranges(parts.size(), 1, (from, to) -> {
            for (int i = (int) from; i < to; i++) {
                Part part = parts.get(i);
                MemorySegment memory = CpuTensor.memory(parameters.get(part.index).gradient());
                dots[i] = stage.math().dot(memory, part.from, memory, part.from, (int) (part.to - part.from));
            }
        });
        double[] squares = new double[parameters.size()];
        for (int i = 0; i < dots.length; i++) {
            squares[parts.get(i).index] += dots[i];
        }
        double sum = 0;
        for (double square : squares) {
            sum += square;
        }
        CpuTensor.memory(norm).set(DOUBLE, 0, Math.sqrt(sum));
    }

    void zeroGradients(List<Parameter> parameters) {
        List<Part> parts = parts(parameters.stream().mapToLong(parameter -> parameter.gradient().shape().size()).toArray(), UPDATED);
        stage.workers().run(parts.size(), i -> {
            Part part = parts.get(i);
            CpuTensor.memory(parameters.get(part.index).gradient()).asSlice(part.from * 4, (part.to - part.from) * 4).fill((byte) 0);
        });
    }

    void adamW(List<AdamWState> states, AdamWStep step, Tensor norm) {
        double clip = step.maxGradNorm() == 0 ? 1 : Math.min(1, step.maxGradNorm() / (CpuTensor.memory(norm).get(DOUBLE, 0) + 1e-6));
        var arguments = new RowMath.AdamWArguments((float) (1 - step.learningRate() * step.weightDecay()), (float) clip,
                (float) (1 - step.beta1()), (float) step.beta2(), (float) (1 - step.beta2()), (float) step.eps(),
                (float) (1 / Math.sqrt(1 - Math.pow(step.beta2(), step.step()))), (float) (step.learningRate() / (1 - Math.pow(step.beta1(), step.step()))));
        List<Part> parts = parts(states.stream().mapToLong(state -> state.parameter().value().shape().size()).toArray(), UPDATED);
        stage.workers().run(parts.size(), i -> {
            Part part = parts.get(i);
            AdamWState state = states.get(part.index);
            stage.math().adamW(arguments, CpuTensor.memory(state.parameter().value()), CpuTensor.memory(state.parameter().gradient()),
                    CpuTensor.memory(state.firstMoment()), CpuTensor.memory(state.secondMoment()), part.from, (int) (part.to - part.from));
        });
    }

    void adamW8bit(List<AdamW8bitState> states, AdamWStep step, Tensor norm) {
        var update = new CpuAdamW8bit(AdamW8bitNumbers.of(step), AdamW8bitNumbers.clip(step, CpuTensor.memory(norm).get(DOUBLE, 0)));
        List<Part> parts = parts(states.stream().mapToLong(state -> state.firstMoment().absmax().shape().size()).toArray(), UPDATED_8BIT / EightBitMoment.BLOCK_SIZE);
        stage.workers().run(parts.size(), i -> update.update(states.get(parts.get(i).index), parts.get(i).from, parts.get(i).to));
    }
}
