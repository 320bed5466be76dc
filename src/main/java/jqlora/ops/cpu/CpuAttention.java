package jqlora.ops.cpu;

import static jqlora.tensor.TensorView.FLOAT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import jqlora.ops.AttentionShape;
import jqlora.ops.KvCache;
import jqlora.ops.Sequences;
import jqlora.ops.cpu.Product.Factor;
import jqlora.ops.cpu.Product.Target;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;

/**
 * Causal attention in bands of queries: the scores of a band lie in one buffer a thread and are gone afterwards; the backward makes
 * them again from the logarithm of the denominator. Bands see only the keys that causality and the window leave.
 */
final class CpuAttention {
    private static final int BAND = 128;

    private final CpuStage stage;
    private final ThreadLocal<Scratch> scratch = ThreadLocal.withInitial(Scratch::new);

    CpuAttention(CpuStage stage) {
        this.stage = stage;
    }

    /** Buffers of one thread; the garbage collector frees them with the thread. */
    private static final class Scratch {
        private MemorySegment scores = MemorySegment.NULL, gradients = MemorySegment.NULL;

        MemorySegment scores(long elements) {
            return scores = grown(scores, elements);
        }

        MemorySegment gradients(long elements) {
            return gradients = grown(gradients, elements);
        }

        private static MemorySegment grown(MemorySegment buffer, long elements) {
            return buffer.byteSize() >= 4 * elements ? buffer : Arena.ofAuto().allocate(4 * elements, 64);
        }
    }

    /** Queries first ... last - 1 of a sequence, and the keys that at least one of them sees. */
    private record Band(int first, int last, int firstKey, int keys) {
        static Band of(int index, int queries, int past, AttentionShape shape) {
            int first = index * BAND, last = Math.min(queries, first + BAND);
            int firstKey = shape.slidingWindow() == 0 ? 0 : Math.max(0, past + first + 1 - shape.slidingWindow());
            return new Band(first, last, firstKey, past + last - firstKey);
        }

        int queries() {
            return last - first;
        }

        /** Column, among the keys of the band, of the first key that query {@code row} of the band sees. */
        int from(int row, int past, AttentionShape shape) {
            return shape.slidingWindow() == 0 ? 0 : Math.max(0, past + first + row + 1 - shape.slidingWindow() - firstKey);
        }

        /** Column after the last key that query {@code row} of the band sees. */
        int to(int row, int past) {
            return past + first + row + 1 - firstKey;
        }
    }

    /** Where one head's rows lie: element of row 0, elements from row to row. */
    private record Head(MemorySegment memory, long first, long stride, int headDim) {
        MatrixSource rows(int from, int count) {
            return new MatrixSource.Floats(memory, first + from * stride, stride, count, headDim);
        }

        Target target(int from) {
            return new Target(memory, first + from * stride, stride);
        }
    }

    Tensor forward(Tensor qkv, AttentionShape shape, Sequences sequences, Tensor logSumExp) {
        Tensor y = stage.allocate(DType.F32, sequences.rows(), shape.queryColumns());
        int heads = shape.numAttentionHeads();
        stage.workers().run(sequences.count() * heads, task -> {
            int sequence = task / heads, head = task % heads;
            Head q = query(qkv, shape, sequences, sequence, head), out = output(y, shape, sequences, sequence, head);
            int kvHead = head * shape.numKeyValueHeads() / heads;
            Head k = key(qkv, shape, sequences, sequence, kvHead), v = value(qkv, shape, sequences, sequence, kvHead);
            for (int band = 0; band * BAND < sequences.length(sequence); band++) {
                attend(Band.of(band, sequences.length(sequence), 0, shape), 0, shape, shape.slope(head), q, k, v, out, (row, logSum) -> {
                    if (logSumExp != null) {
                        CpuTensor.memory(logSumExp).set(FLOAT, ((long) (sequences.start(sequence) + row) * heads + head) * 4, logSum);
                    }
                });
            }
        });
        return y;
    }

    @FunctionalInterface
    private interface RowResult {
        void accept(int row, float logSum);
    }

    private void attend(Band band, int past, AttentionShape shape, float slope, Head q, Head k, Head v, Head out, RowResult result) {
        MemorySegment scores = scratch.get().scores((long) BAND * band.keys);
        stage.product().multiply(Factor.of(q.rows(band.first, band.queries())), Factor.transposed(k.rows(band.firstKey, band.keys)),
                new Target(scores, 0, band.keys), 1f, false);
        for (int row = 0; row < band.queries(); row++) {
            int from = band.from(row, past, shape), to = band.to(row, past);
            long at = (long) row * band.keys;
            result.accept(band.first + row, stage.math().softmax(scores, at + from, to - from, adjust(scores, at + from, to - from, shape, slope, null)));
            hide(scores, at, from, to, band.keys);
        }
        stage.product().multiply(Factor.of(new MatrixSource.Floats(scores, 0, band.keys, band.queries(), band.keys)),
                Factor.of(v.rows(band.firstKey, band.keys)), out.target(band.first), 1f, false);
    }

    /**
     * Caps and biases the products of one query with the keys that it sees, the last of which is its own.
     *
     * @param slopes overwritten with the derivatives by the products, scaled; null where there is no cap, or nobody wants them
     * @return the factor that the softmax still has to apply
     */
    private static float adjust(MemorySegment scores, long at, int count, AttentionShape shape, float slope, MemorySegment slopes) {
        if (shape.isPlain()) {
            return shape.scale();
        }
        if (shape.softCap() > 0) {
            RowMath.softCap(scores, at, count, shape.scale(), shape.softCap(), slopes);
        }
        float factor = shape.softCap() > 0 ? 1 : shape.scale();
        for (int i = 0; i < count; i++) {
            scores.set(FLOAT, (at + i) * 4, Math.fma(scores.get(FLOAT, (at + i) * 4), factor, slope * (i + 1 - count)));
        }
        return 1;
    }

    private static void hide(MemorySegment scores, long at, int from, int to, int keys) {
        scores.asSlice(at * 4, from * 4L).fill((byte) 0);
        scores.asSlice((at + to) * 4, (keys - to) * 4L).fill((byte) 0);
    }

    void backward(Tensor dQkv, Tensor dY, Tensor qkv, Tensor y, Tensor logSumExp, AttentionShape shape, Sequences sequences) {
        int kvHeads = shape.numKeyValueHeads(), group = shape.numAttentionHeads() / kvHeads;
        stage.workers().run(sequences.count() * kvHeads, task -> {
            int sequence = task / kvHeads, kvHead = task % kvHeads;
            Head k = key(qkv, shape, sequences, sequence, kvHead), v = value(qkv, shape, sequences, sequence, kvHead);
            Head dK = key(dQkv, shape, sequences, sequence, kvHead), dV = value(dQkv, shape, sequences, sequence, kvHead);
            clear(dK, sequences.length(sequence));
            clear(dV, sequences.length(sequence));
            for (int head = kvHead * group; head < (kvHead + 1) * group; head++) {
                Head q = query(qkv, shape, sequences, sequence, head), dQ = query(dQkv, shape, sequences, sequence, head);
                Head out = output(y, shape, sequences, sequence, head), dOut = output(dY, shape, sequences, sequence, head);
                for (int index = 0; index * BAND < sequences.length(sequence); index++) {
                    Band band = Band.of(index, sequences.length(sequence), 0, shape);
                    int start = sequences.start(sequence), atHead = head;
                    backward(band, shape, shape.slope(head), new Forward(q, k, v, out), dOut, new Gradients(dQ, dK, dV),
                            row -> CpuTensor.memory(logSumExp).get(FLOAT, ((long) (start + row) * shape.numAttentionHeads() + atHead) * 4));
                }
            }
        });
    }

    private record Forward(Head q, Head k, Head v, Head out) { }

    private record Gradients(Head dQ, Head dK, Head dV) { }

    @FunctionalInterface
    private interface RowValue {
        float get(int row);
    }

    private void backward(Band band, AttentionShape shape, float slope, Forward forward, Head dOut, Gradients gradients, RowValue logSum) {
        int keys = band.keys, queries = band.queries();
        MemorySegment p = scratch.get().scores((long) BAND * keys), dP = scratch.get().gradients((long) BAND * keys);
        MatrixSource q = forward.q.rows(band.first, queries), k = forward.k.rows(band.firstKey, keys), v = forward.v.rows(band.firstKey, keys);
        MatrixSource dO = dOut.rows(band.first, queries);
        stage.product().multiply(Factor.of(q), Factor.transposed(k), new Target(p, 0, keys), 1f, false);
        stage.product().multiply(Factor.of(dO), Factor.transposed(v), new Target(dP, 0, keys), 1f, false);
        for (int row = 0; row < queries; row++) {
            int from = band.from(row, 0, shape), to = band.to(row, 0);
            long at = (long) row * keys;
            float delta = stage.math().dot(dOut.memory, dOut.first + (band.first + row) * dOut.stride,
                    forward.out.memory, forward.out.first + (band.first + row) * forward.out.stride, shape.headDim());
            MemorySegment slopes = shape.softCap() > 0 ? stage.rowScratch(to - from) : null;
            stage.math().softmaxAgain(p, at + from, to - from, adjust(p, at + from, to - from, shape, slope, slopes), logSum.get(band.first + row));
            hide(p, at, from, to, keys);
            stage.math().softmaxBackward(dP, p, at, keys, delta, slopes == null ? shape.scale() : 1f);
            if (slopes != null) {
                stage.math().scale(dP, at + from, 1f, slopes, dP, at + from, to - from);
            }
        }
        MatrixSource probabilities = new MatrixSource.Floats(p, 0, keys, queries, keys), dScores = new MatrixSource.Floats(dP, 0, keys, queries, keys);
        stage.product().multiply(Factor.transposed(probabilities), Factor.of(dO), gradients.dV.target(band.firstKey), 1f, true);
        stage.product().multiply(Factor.transposed(dScores), Factor.of(q), gradients.dK.target(band.firstKey), 1f, true);
        stage.product().multiply(Factor.of(dScores), Factor.of(k), gradients.dQ.target(band.first), 1f, false);
    }

    private static void clear(Head head, int rows) {
        for (int row = 0; row < rows; row++) {
            head.memory.asSlice((head.first + row * head.stride) * 4, head.headDim * 4L).fill((byte) 0);
        }
    }

    Tensor cached(Tensor qkv, AttentionShape shape, Sequences sequences, KvCache cache, int layer) {
        Tensor keys = cache.keys().get(layer), values = cache.values().get(layer);
        int columns = shape.keyColumns(), heads = shape.numAttentionHeads();
        for (int sequence = 0; sequence < sequences.count(); sequence++) {
            int past = sequences.past(sequence), length = sequences.length(sequence);
            for (int i = 0; i < length; i++) {
                long from = ((long) (sequences.start(sequence) + i) * shape.qkvColumns() + shape.queryColumns()) * 4;
                long to = ((long) sequence * cache.maxLength() + past + i) * columns * 4;
                MemorySegment.copy(CpuTensor.memory(qkv), from, CpuTensor.memory(keys), to, columns * 4L);
                MemorySegment.copy(CpuTensor.memory(qkv), from + columns * 4L, CpuTensor.memory(values), to, columns * 4L);
            }
        }
        Tensor y = stage.allocate(DType.F32, sequences.rows(), shape.queryColumns());
        stage.workers().run(sequences.count() * heads, task -> {
            int sequence = task / heads, head = task % heads, kvHead = head * shape.numKeyValueHeads() / heads;
            long first = (long) sequence * cache.maxLength() * columns + (long) kvHead * shape.headDim();
            Head q = query(qkv, shape, sequences, sequence, head), out = output(y, shape, sequences, sequence, head);
            Head k = new Head(CpuTensor.memory(keys), first, columns, shape.headDim());
            Head v = new Head(CpuTensor.memory(values), first, columns, shape.headDim());
            int past = sequences.past(sequence);
            for (int band = 0; band * BAND < sequences.length(sequence); band++) {
                attend(Band.of(band, sequences.length(sequence), past, shape), past, shape, shape.slope(head), q, k, v, out, (row, logSum) -> { });
            }
        });
        return y;
    }

    // ---- heads

    private static Head query(Tensor qkv, AttentionShape shape, Sequences sequences, int sequence, int head) {
        return head(qkv, shape.qkvColumns(), (long) head * shape.headDim(), shape, sequences, sequence);
    }

    private static Head key(Tensor qkv, AttentionShape shape, Sequences sequences, int sequence, int kvHead) {
        return head(qkv, shape.qkvColumns(), shape.queryColumns() + (long) kvHead * shape.headDim(), shape, sequences, sequence);
    }

    private static Head value(Tensor qkv, AttentionShape shape, Sequences sequences, int sequence, int kvHead) {
        return head(qkv, shape.qkvColumns(), shape.queryColumns() + shape.keyColumns() + (long) kvHead * shape.headDim(), shape, sequences, sequence);
    }

    private static Head output(Tensor y, AttentionShape shape, Sequences sequences, int sequence, int head) {
        return head(y, shape.queryColumns(), (long) head * shape.headDim(), shape, sequences, sequence);
    }

    private static Head head(Tensor tensor, int columns, long column, AttentionShape shape, Sequences sequences, int sequence) {
        return new Head(CpuTensor.memory(tensor), (long) sequences.start(sequence) * columns + column, columns, shape.headDim());
    }
}
