package jqlora.ops.cpu;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import jqlora.ops.Dropout;
import jqlora.ops.DropoutMask;
import jqlora.ops.LinearGroup;
import jqlora.ops.LinearWeights;
import jqlora.ops.LoraFactors;
import jqlora.ops.Parameter;
import jqlora.ops.cpu.Product.Factor;
import jqlora.ops.cpu.Product.Target;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;

/**
 * Linear layers with a shared input. The weights of a group are read as one matrix, stacked row under row, so that the input is
 * packed once; the adapters' products are added into the result.
 */
final class CpuLinear {
    private final CpuStage stage;

    CpuLinear(CpuStage stage) {
        this.stage = stage;
    }

    Tensor forward(Tensor x, LinearGroup group, Tensor inner, Dropout dropout) {
        int rows = (int) x.shape().dim(0), outFeatures = (int) group.outFeatures();
        Tensor y = stage.allocate(DType.F32, rows, outFeatures);
        stage.product().multiply(Factor.of(matrix(x)), Factor.transposed(stacked(group)), target(y, 0, outFeatures), 1f, false);
        int column = 0, innerColumn = 0, innerColumns = group.rank();
        for (LinearWeights linear : group.layers()) {
            int out = (int) linear.weight().outFeatures();
            if (linear.lora() != null) {
                LoraFactors lora = linear.lora();
                int r = (int) lora.r();
                try (Dropped dropped = Dropped.of(stage, x, lora, dropout)) {
                    stage.product().multiply(Factor.of(matrix(dropped.tensor())), Factor.transposed(matrix(lora.a().value())),
                            target(inner, innerColumn, innerColumns), 1f, false);
                }
                stage.product().multiply(Factor.of(slice(inner, innerColumn, r)), Factor.transposed(matrix(lora.b().value())),
                        target(y, column, outFeatures), lora.scaling(), true);
                innerColumn += r;
            }
            if (linear.bias() != null) {
                addBias(y, column, outFeatures, linear.bias().value());
            }
            column += out;
        }
        return y;
    }

    void backward(Tensor dX, Tensor dY, Tensor x, LinearGroup group, Tensor inner, Dropout dropout) {
        int outFeatures = (int) group.outFeatures(), inFeatures = (int) x.shape().dim(1);
        if (dX != null) {
            stage.product().multiply(Factor.of(matrix(dY)), Factor.of(stacked(group)), target(dX, 0, inFeatures), 1f, false);
        }
        int column = 0, innerColumn = 0;
        for (LinearWeights linear : group.layers()) {
            int out = (int) linear.weight().outFeatures();
            MatrixSource dOut = slice(dY, column, out);
            if (linear.weight() instanceof jqlora.ops.Weight.Dense(Parameter parameter) && parameter.isTrained()) {
                stage.product().multiply(Factor.transposed(dOut), Factor.of(matrix(x)), target(parameter.gradient(), 0, inFeatures), 1f, true);
            }
            if (linear.bias() != null && linear.bias().isTrained()) {
                addColumnSums(dY, column, out, linear.bias().gradient());
            }
            if (linear.lora() != null) {
                loraBackward(linear.lora(), dOut, dX, x, slice(inner, innerColumn, (int) linear.lora().r()), dropout);
                innerColumn += (int) linear.lora().r();
            }
            column += out;
        }
    }

    private void loraBackward(LoraFactors lora, MatrixSource dOut, Tensor dX, Tensor x, MatrixSource inner, Dropout dropout) {
        int r = (int) lora.r(), rows = dOut.rows(), inFeatures = (int) x.shape().dim(1);
        try (Tensor dInner = stage.allocate(DType.F32, rows, r); Dropped dropped = Dropped.of(stage, x, lora, dropout)) {
            stage.product().multiply(Factor.of(dOut), Factor.of(matrix(lora.b().value())), target(dInner, 0, r), lora.scaling(), false);
            if (lora.b().isTrained()) {
                stage.product().multiply(Factor.transposed(dOut), Factor.of(inner), target(lora.b().gradient(), 0, r), lora.scaling(), true);
            }
            if (lora.a().isTrained()) {
                stage.product().multiply(Factor.transposed(matrix(dInner)), Factor.of(matrix(dropped.tensor())),
                        target(lora.a().gradient(), 0, inFeatures), 1f, true);
            }
            if (dX == null) {
                return;
            }
            if (!dropped.isMasked()) {
                stage.product().multiply(Factor.of(matrix(dInner)), Factor.of(matrix(lora.a().value())), target(dX, 0, inFeatures), 1f, true);
                return;
            }
            try (Tensor through = stage.allocate(DType.F32, rows, inFeatures)) {
                stage.product().multiply(Factor.of(matrix(dInner)), Factor.of(matrix(lora.a().value())), target(through, 0, inFeatures), 1f, false);
                dropped.mask(through);
                stage.addInPlace(dX, through);
            }
        }
    }

    // ---- views

    /** A tensor of rank 2 as a factor. */
    MatrixSource matrix(Tensor tensor) {
        return stage.matrix(tensor);
    }

    private MatrixSource stacked(LinearGroup group) {
        List<MatrixSource> parts = new ArrayList<>();
        for (LinearWeights linear : group.layers()) {
            parts.add(stage.matrix(linear.weight()));
        }
        return MatrixSource.Stacked.of(parts);
    }

    private static MatrixSource slice(Tensor tensor, int column, int columns) {
        return new MatrixSource.Floats(CpuTensor.memory(tensor), column, tensor.shape().dim(1), (int) tensor.shape().dim(0), columns);
    }

    private static Target target(Tensor tensor, int column, int stride) {
        return new Target(CpuTensor.memory(tensor), column, stride);
    }

    private void addBias(Tensor y, int column, int columns, Tensor bias) {
        MemorySegment memory = CpuTensor.memory(y);
        int out = (int) bias.shape().size();
        try (Tensor floats = stage.asFloats(bias)) {
            MemorySegment values = CpuTensor.memory(floats);
            stage.workers().ranges(y.shape().dim(0), Math.max(1, CpuStage.COPY_GRAIN / out), (from, to) -> {
                for (long row = from; row < to; row++) {
                    stage.math().add(values, 0, memory, row * columns + column, out);
                }
            });
        }
    }

    private void addColumnSums(Tensor dY, int column, int count, Tensor gradient) {
        long columns = dY.shape().dim(1);
        stage.columns(count, (from, part) -> {
            for (long row = 0; row < dY.shape().dim(0); row++) {
                stage.math().add(CpuTensor.memory(dY), row * columns + column + from, CpuTensor.memory(gradient), from, part);
            }
        });
    }

    /** What an adapter reads: x itself, or x with dropped elements zeroed and the others scaled up. */
    private record Dropped(CpuStage stage, Tensor tensor, LoraFactors lora, long key) implements AutoCloseable {
        static Dropped of(CpuStage stage, Tensor x, LoraFactors lora, Dropout dropout) {
            if (!dropout.reaches(lora)) {
                return new Dropped(stage, x, lora, 0);
            }
            Tensor copy = stage.allocate(DType.F32, x.shape().toArray());
            stage.copyInto(copy, x);
            Dropped dropped = new Dropped(stage, copy, lora, dropout.key());
            dropped.mask(copy);
            return dropped;
        }

        boolean isMasked() {
            return key != 0;
        }

        /** Multiplies by the mask: 0, or 1 / (1 - dropout). */
        void mask(Tensor tensor) {
            MemorySegment memory = CpuTensor.memory(tensor);
            DropoutMask mask = new DropoutMask(key, lora.module(), lora.dropout());
            stage.workers().ranges(tensor.shape().size() / DropoutMask.GROUP + 1, 512, (from, to) -> {
                boolean[] kept = new boolean[DropoutMask.GROUP];
                int[] bits = new int[4];
                for (long group = from; group < to; group++) {
                    mask.kept(group, bits, kept);
                    long first = group * DropoutMask.GROUP, end = Math.min(first + DropoutMask.GROUP, tensor.shape().size());
                    for (long i = first; i < end; i++) {
                        float value = memory.get(TensorView.FLOAT, i * 4);
                        memory.set(TensorView.FLOAT, i * 4, kept[(int) (i - first)] ? value * mask.scale() : 0f);
                    }
                }
            });
        }

        @Override
        public void close() {
            if (isMasked()) {
                tensor.close();
            }
        }
    }
}
