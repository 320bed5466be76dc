package jqlora.ops.cpu;

import static jqlora.tensor.TensorView.FLOAT;
import static jqlora.tensor.TensorView.INT;

import java.lang.foreign.MemorySegment;
import jqlora.ops.OpsArguments;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;

/** Rows of a table, and sums into them. */
final class CpuEmbedding {
    private static final int GRAIN = 16;                          // rows that one task takes at least

    private final CpuStage stage;

    CpuEmbedding(CpuStage stage) {
        this.stage = stage;
    }

    Tensor forward(Tensor table, Tensor ids, int first, float scale) {
        int hidden = (int) table.shape().dim(1);
        long rows = ids.shape().size();
        requireIds("embedding", ids, first, table);
        Tensor y = stage.allocate(DType.F32, rows, hidden);
        MatrixSource source = stage.matrix(table);
        stage.workers().ranges(rows, GRAIN, (from, to) -> {
            float[] buffer = new float[hidden];
            for (long row = from; row < to; row++) {
                source.read(first + CpuTensor.memory(ids).get(INT, row * 4), 0, hidden, buffer, 0);
                for (int i = 0; i < hidden; i++) {
                    buffer[i] *= scale;
                }
                MemorySegment.copy(buffer, 0, CpuTensor.memory(y), FLOAT, row * hidden * 4, hidden);
            }
        });
        return y;
    }

    private static void requireIds(String what, Tensor ids, int first, Tensor table) {
        for (long row = 0; row < ids.shape().size(); row++) {
            OpsArguments.id(what, CpuTensor.memory(ids).get(INT, row * 4), row, table.shape().dim(0) - first);
        }
    }

    /** A token may come more than once: its sum is in the order of the rows. */
    void backward(Tensor dTable, Tensor dY, Tensor ids, int first, float scale) {
        requireIds("embeddingBackward", ids, first, dTable);
        int hidden = (int) dTable.shape().dim(1);
        MemorySegment in = CpuTensor.memory(dY), sums = CpuTensor.memory(dTable), rows = CpuTensor.memory(ids);
        stage.columns(hidden, (from, count) -> {
            MemorySegment scaled = stage.rowScratch(count);
            for (long row = 0; row < ids.shape().size(); row++) {
                stage.math().scale(in, row * hidden + from, scale, null, scaled, 0, count);
                stage.math().add(scaled, 0, sums, (first + (long) rows.get(INT, row * 4)) * hidden + from, count);
            }
        });
    }
}
