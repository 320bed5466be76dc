package jqlora.ops.cuda;

import java.util.Arrays;
import java.util.stream.IntStream;
import jqlora.ops.LinearGroup;
import jqlora.ops.OutputHead;
import jqlora.tensor.Tensor;

/**
 * Output layer and cross-entropy: the rows with a target are gathered, and their logits exist a chunk at a time. The gradient takes the logits'
 * place at once, so they are never computed twice.
 */
final class CudaLoss {
    private static final long LOGIT_BYTES = 512L << 20;
    private static final int FEWEST_ROWS = 64, THREADS = 512;
    private static final int NO_TARGET = -100;

    private final CudaStage stage;
    private final CudaLinear linear;
    private final CudaRows gathered;
    private final Transfers transfers;

    CudaLoss(CudaStage stage, CudaLinear linear, CudaRows gathered, Transfers transfers) {
        this.stage = stage;
        this.linear = linear;
        this.gathered = gathered;
        this.transfers = transfers;
    }

    CudaTensor scores(CudaTensor x, OutputHead head) {
        LinearGroup group = LinearGroup.of(head.weights());
        try (CudaTensor inner = inner(group, x.rows())) {
            CudaTensor scores = linear.forward(x, group, inner, 0, null);
            if (!head.isPlain()) {
                stage.kernel("cross_entropy", "bound_scores").matrix(scores).number(scores.rows()).integer(scores.columns()).real(head.scale()).real(head.softCap())
                        .launchFor(scores.rows() * scores.columns());
            }
            return scores;
        }
    }

    private CudaTensor inner(LinearGroup group, long rows) {
        return group.rank() == 0 ? null : stage.matrix(rows, group.rank());
    }

    void headLoss(CudaTensor x, OutputHead head, int[] targets, float scale, Tensor lossSum, CudaTensor dX) {
        int[] labelled = IntStream.range(0, targets.length).filter(row -> targets[row] != NO_TARGET).toArray();
        if (dX != null && labelled.length < targets.length) {
            transfers.fillZero(dX);
        }
        if (labelled.length == 0) {
            return;
        }
        int rows = chunkRows(labelled.length, head.weights().weight().outFeatures());
        try (CudaTensor losses = stage.doubles(labelled.length)) {
            for (int from = 0; from < labelled.length; from += rows) {
                int count = Math.min(rows, labelled.length - from);
                chunk(x, head, targets, Arrays.copyOfRange(labelled, from, from + count), scale, losses.address() + 8L * from, dX);
            }
            stage.kernel("cross_entropy", "add_losses").address(lossSum).address(losses).integer(labelled.length).launch(1, 256);
        }
    }

    /** Rows whose logits exist at once; the last chunk may have fewer. */
    static int chunkRows(int labelled, long vocab) {
        int most = (int) Math.max(FEWEST_ROWS, LOGIT_BYTES / (2 * vocab) / FEWEST_ROWS * FEWEST_ROWS), chunks = Math.ceilDiv(labelled, most);
        return Math.min(labelled, Math.min(most, Math.ceilDiv(Math.ceilDiv(labelled, chunks), FEWEST_ROWS) * FEWEST_ROWS));
    }

    private void chunk(CudaTensor x, OutputHead head, int[] targets, int[] rows, float scale, long losses, CudaTensor dX) {
        int[] ids = new int[rows.length];
        Arrays.setAll(ids, i -> targets[rows[i]]);
        LinearGroup group = LinearGroup.of(head.weights());
        try (CudaTensor rowsT = stage.upload(rows); CudaTensor targetsT = stage.upload(ids); CudaTensor part = stage.matrix(rows.length, x.columns());
                CudaTensor inner = inner(group, rows.length)) {
            gathered.gather(part, x, rowsT, 0, 1f);
            try (CudaTensor logits = linear.forward(part, group, inner, 0, null)) {
                stage.kernel("cross_entropy", "cross_entropy").matrix(logits).address(targetsT).number(losses).integer(logits.columns()).real(scale).real(head.scale()).real(head.softCap()).integer(dX == null ? 0 : 1)
                        .launch(rows.length, THREADS);
                if (dX != null) {
                    try (CudaTensor dPart = stage.matrix(rows.length, x.columns())) {
                        linear.backward(dPart, logits, part, group, inner, 0);
                        gathered.scatter(dX, dPart, rowsT);
                    }
                }
            }
        }
    }
}
