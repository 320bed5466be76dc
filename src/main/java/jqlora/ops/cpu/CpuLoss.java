package jqlora.ops.cpu;

import static jqlora.tensor.TensorView.DOUBLE;
import static jqlora.tensor.TensorView.FLOAT;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.stream.IntStream;
import jqlora.ops.Dropout;
import jqlora.ops.LinearGroup;
import jqlora.ops.OutputHead;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;

/**
 * Output layer and cross-entropy: the rows with a target are gathered, and their logits exist a chunk at a time. The gradient is made
 * from the same logits at once, so they are never computed twice.
 */
final class CpuLoss {
    private static final long LOGIT_BYTES = 64L << 20;            // of a chunk: enough rows to make reading the weight pay
    private static final int FEWEST_ROWS = 64;
    private static final int NO_TARGET = -100;

    private final CpuStage stage;
    private final CpuLinear linear;

    CpuLoss(CpuStage stage, CpuLinear linear) {
        this.stage = stage;
        this.linear = linear;
    }

    Tensor scores(Tensor x, OutputHead head) {
        LinearGroup group = LinearGroup.of(head.weights());
        try (Tensor inner = inner(group, x.shape().dim(0))) {
            Tensor scores = linear.forward(x, group, inner, Dropout.NONE);
            if (!head.isPlain()) {
                int vocab = (int) group.outFeatures();
                stage.workers().ranges(x.shape().dim(0), 1, (from, to) -> {
                    for (long row = from; row < to; row++) {
                        bound(CpuTensor.memory(scores), row * vocab, vocab, head, null);
                    }
                });
            }
            return scores;
        }
    }

    private Tensor inner(LinearGroup group, long rows) {
        return group.rank() == 0 ? null : stage.allocate(DType.F32, rows, group.rank());
    }

    /** From what the linear layer gives to the scores. @param slopes see {@link RowMath#softCap} */
    private void bound(MemorySegment scores, long at, int vocab, OutputHead head, MemorySegment slopes) {
        if (head.softCap() > 0) {
            RowMath.softCap(scores, at, vocab, head.scale(), head.softCap(), slopes);
        } else {
            stage.math().scale(scores, at, head.scale(), null, scores, at, vocab);
        }
    }

    void headLoss(Tensor x, OutputHead head, int[] targets, double scale, Tensor lossSum, Tensor dX) {
        int rows = (int) x.shape().dim(0), vocab = (int) head.weights().weight().outFeatures();
        int[] labelled = IntStream.range(0, rows).filter(row -> targets[row] != NO_TARGET).toArray();
        if (dX != null) {
            stage.fillZero(dX);
        }
        int chunkRows = chunkRows(labelled.length, vocab);
        double sum = 0;
        for (int from = 0; from < labelled.length; from += chunkRows) {
            int count = Math.min(chunkRows, labelled.length - from);
            sum += chunk(x, head, targets, Arrays.copyOfRange(labelled, from, from + count), (float) scale, dX);
        }
        MemorySegment total = CpuTensor.memory(lossSum);
        total.set(DOUBLE, 0, total.get(DOUBLE, 0) + sum);
    }

    /** Rows whose logits exist at once. */
    static int chunkRows(int labelled, long vocab) {
        return Math.clamp(LOGIT_BYTES / (4L * vocab), FEWEST_ROWS, Math.max(FEWEST_ROWS, labelled));
    }

    private double chunk(Tensor x, OutputHead head, int[] targets, int[] rows, float scale, Tensor dX) {
        int hidden = (int) x.shape().dim(1), vocab = (int) head.weights().weight().outFeatures();
        LinearGroup group = LinearGroup.of(head.weights());
        double[] losses = new double[rows.length];
        try (Tensor part = stage.allocate(DType.F32, rows.length, hidden); Tensor inner = inner(group, rows.length)) {
            gather(x, rows, part);
            try (Tensor logits = linear.forward(part, group, inner, Dropout.NONE)) {
                MemorySegment memory = CpuTensor.memory(logits);
                stage.workers().ranges(rows.length, 1, (from, to) -> {
                    for (int i = (int) from; i < to; i++) {
                        losses[i] = crossEntropy(memory, (long) i * vocab, vocab, targets[rows[i]], scale, head);
                    }
                });
                if (dX != null) {
                    try (Tensor dPart = stage.allocate(DType.F32, rows.length, hidden)) {
                        linear.backward(dPart, logits, part, group, inner, Dropout.NONE);
                        scatter(dPart, rows, dX);
                    }
                }
            }
        }
        double sum = 0;
        for (double loss : losses) {
            sum += loss;
        }
        return sum;
    }

    private void gather(Tensor x, int[] rows, Tensor part) {
        MemorySegment in = CpuTensor.memory(x), out = CpuTensor.memory(part);
        long bytes = x.shape().dim(1) * 4;
        stage.workers().ranges(rows.length, 64, (from, to) -> {
            for (int i = (int) from; i < to; i++) {
                MemorySegment.copy(in, rows[i] * bytes, out, i * bytes, bytes);
            }
        });
    }

    private void scatter(Tensor part, int[] rows, Tensor x) {
        MemorySegment in = CpuTensor.memory(part), out = CpuTensor.memory(x);
        long bytes = x.shape().dim(1) * 4;
        stage.workers().ranges(rows.length, 64, (from, to) -> {
            for (int i = (int) from; i < to; i++) {
                MemorySegment.copy(in, i * bytes, out, rows[i] * bytes, bytes);
            }
        });
    }

    /** -log p(target); the logits become (softmax - onehot) scale, times what the output layer does with its product. */
    private double crossEntropy(MemorySegment logits, long at, int vocab, int target, float scale, OutputHead head) {
        MemorySegment slopes = head.softCap() > 0 ? stage.rowScratch(vocab) : null;
        if (!head.isPlain()) {
            bound(logits, at, vocab, head, slopes);
        }
        float wanted = logits.get(FLOAT, (at + target) * 4);
        float logSum = stage.math().softmax(logits, at, vocab, 1f);
        logits.set(FLOAT, (at + target) * 4, logits.get(FLOAT, (at + target) * 4) - 1f);
        stage.math().scale(logits, at, head.softCap() > 0 ? scale : scale * head.scale(), slopes, logits, at, vocab);
        return (double) logSum - wanted;
    }
}
