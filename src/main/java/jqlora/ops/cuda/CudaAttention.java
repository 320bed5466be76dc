package jqlora.ops.cuda;

import static org.bytedeco.cuda.global.cudnn.cudnnCreate;
import static org.bytedeco.cuda.global.cudnn.cudnnDestroy;
import static org.bytedeco.cuda.global.cudnn.cudnnSetStream;

import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import jqlora.ops.AttentionShape;
import jqlora.ops.KvCache;
import jqlora.ops.Sequences;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;
import org.bytedeco.cuda.cudnn.cudnnContext;
import org.bytedeco.javacpp.FloatPointer;

/**
 * Causal attention with grouped queries: through cuDNN's flash attention where it takes the shape, else through kernels of our own that are right for every
 * shape and slow for long sequences.
 */
final class CudaAttention implements AutoCloseable {
    private static final String SOURCE = "attention";
    private static final String DECODING = "decode_attention";
    private static final int THREADS = 128, WARPS = 4, MOST_DIM = 256;
    /** Of sequences of different lengths: the longest is taken up to a multiple of it. */
    private static final int BUCKET = 128;
    // decoding: a block has at least 32 keys of a sequence's key head, and a counter tells the last of them to come
    private static final int DECODING_THREADS = 512, NARROWEST = 8, KEYS_OF_A_SPLIT = 32, MOST_SPLITS = 64, COUNTERS = 4096;
    /** What attention's backward may work in for all heads together: a share of the budget, and so much at least. Beyond it the heads are computed in parts. */
    private static final long SHARE_OF_BUDGET = 24, LEAST_WORKSPACE = 512L << 20;

    private record PlanKey(FlashGraphs graphs, boolean backward) { }

    private final CudaStage stage;
    private final CudaDevice device;
    private final DeviceMemory memory;
    private final Transfers transfers;
    private final boolean deterministic;
    private final long budget;
    private final cudnnContext handle = new cudnnContext();
    private final Map<PlanKey, Optional<CudnnPlan>> plans = new HashMap<>();
    private final SequenceTables tables, cacheTables;
    private final FloatPointer scale = new FloatPointer(1), one = new FloatPointer(1).put(1f), minusInfinity = new FloatPointer(1).put(Float.NEGATIVE_INFINITY);
    private Sequences offsetsOf;
    private long offsets, offsetsKey;
    private final long arrived;

    CudaAttention(CudaStage stage, CudaDevice device, DeviceMemory memory, Transfers transfers, CudaOptions.Attention order) {
        this.stage = stage;
        this.device = device;
        this.memory = memory;
        this.transfers = transfers;
        this.deterministic = order == CudaOptions.Attention.DETERMINISTIC;
        this.budget = memory.use(0).limitBytes();
        this.tables = new SequenceTables(memory, transfers);
        this.cacheTables = new SequenceTables(memory, transfers);
        arrived = memory.take(4L * COUNTERS);
        transfers.fillZero(arrived, 4L * COUNTERS);
        device.bind();
        CudnnGraph.check("cudnnCreate", cudnnCreate(handle));
        CudnnGraph.check("cudnnSetStream", cudnnSetStream(handle, device.stream()));
    }

    // ---- a batch by itself

    CudaTensor forward(CudaTensor qkv, AttentionShape shape, Sequences sequences, Tensor logSumExp) {
        CudaTensor y = stage.matrix(qkv.rows(), shape.queryColumns());
        FlashGraphs graphs = graphs(shape, sequences, qkv.stride(), y.stride(), y.stride(), qkv.stride(), deterministic);
        CudnnPlan plan = plan(graphs, false);
        if (plan == null) {
            SequenceTables own = tables.of(sequences, 0);
            own(y, logSumExp, qkv, qkv.address() + 2L * shape.queryColumns(), qkv.address() + 2L * (shape.queryColumns() + shape.keyColumns()), qkv.stride(), shape,
                    own.firstKeys(), own.keyCounts());
            return y;
        }
        try (CudaTensor unused = logSumExp == null ? stage.floats(qkv.rows(), shape.numAttentionHeads()) : null) {
            bindInputs(plan, graphs, qkv.address(), qkv.address() + 2L * shape.queryColumns(), qkv.address() + 2L * (shape.queryColumns() + shape.keyColumns()), sequences);
            plan.bind("y", y.address()).bind("logSumExp", CudaTensor.address(logSumExp == null ? unused : logSumExp));
            run(plan);
        }
        return y;
    }

    void backward(CudaTensor dQkv, CudaTensor dY, CudaTensor qkv, CudaTensor y, Tensor logSumExp, AttentionShape shape, Sequences sequences) {
        FlashGraphs graphs = graphs(shape, sequences, qkv.stride(), y.stride(), dY.stride(), dQkv.stride(), deterministic);
        int parts = parts(graphs, budget);
        FlashGraphs part = graphs.part(parts);
        CudnnPlan plan = plan(part, true);
        if (plan == null) {
            ownBackward(dQkv, dY, qkv, y, logSumExp, shape, sequences);
            return;
        }
        AttentionShape heads = part.shape();
        try (CudaTensor delta = stage.floats(part.deltaElements()); CudaTensor sum = stage.floats(Math.max(1, part.sumElements()))) {
            for (int i = 0; i < parts; i++) {
                long queries = 2L * i * heads.queryColumns(), keys = 2L * (shape.queryColumns() + i * heads.keyColumns()), values = keys + 2L * shape.keyColumns();
                bindInputs(plan, part, qkv.address() + queries, qkv.address() + keys, qkv.address() + values, sequences);
                plan.bind("y", y.address() + queries).bind("dY", dY.address() + queries).bind("logSumExp", CudaTensor.address(logSumExp) + 4L * i * heads.numAttentionHeads())
                        .bind("one", one.address()).bind("delta", delta.address()).bind("dQSum", sum.address()).bind("dQ", dQkv.address() + queries)
                        .bind("dK", dQkv.address() + keys).bind("dV", dQkv.address() + values);
                run(plan);
            }
        }
    }

    /** Sums in a fixed order take much memory to work in, the more the longer the sequences: where it is scarce the heads go one part after the other, which takes longer. */
    private static int parts(FlashGraphs graphs, long budget) {
        return graphs.workspaceBytes() > Math.max(LEAST_WORKSPACE, budget / SHARE_OF_BUDGET) ? graphs.mostParts() : 1;
    }

    /** Sequences of one length as they are; others with their lengths, up to a multiple of 128. */
    private static FlashGraphs graphs(AttentionShape shape, Sequences sequences, long qkvStride, long yStride, long dYStride, long dQkvStride, boolean deterministic) {
        boolean varying = false;
        for (int i = 1; i < sequences.count(); i++) {
            varying |= sequences.length(i) != sequences.length(0);
        }
        int length = varying ? Math.ceilDiv(sequences.maxLength(), BUCKET) * BUCKET : sequences.maxLength();
        return new FlashGraphs(shape, shape.numAttentionHeads(), sequences.count(), length, varying, qkvStride, yStride, dYStride, dQkvStride, deterministic);
    }

    private CudnnPlan plan(FlashGraphs graphs, boolean backward) {
        if (!FlashGraphs.takes(graphs.shape())) {
            return null;
        }
        device.bind();
        return plans.computeIfAbsent(new PlanKey(graphs, backward), key -> Optional.ofNullable(CudnnPlan.build(handle, backward ? graphs.backward() : graphs.forward())))
                .orElse(null);
    }

    /** How many plans are compiled. */
    int plans() {
        return (int) plans.values().stream().filter(Optional::isPresent).count();
    }

    // ---- memory

    /** What a pass takes on its way: floats of the two buffers of the backward, and bytes that cuDNN works in. */
    record Needs(long delta, long sum, long workspace) { }

    /** For tensors with {@code room} behind their rows; compiles the plan. */
    Needs needs(AttentionShape shape, Sequences sequences, int room, boolean backward) {
        FlashGraphs graphs = graphs(shape, sequences, room, deterministic), part = backward ? graphs.part(parts(graphs, budget)) : graphs;
        CudnnPlan plan = plan(part, backward);
        return new Needs(part.deltaElements(), part.sumElements(), plan == null ? 0 : plan.workspaceBytes());
    }

    /** As {@link #needs} on an H200 with a budget of so many bytes, without a device; sums in a fixed order. */
    static Needs estimatedNeeds(long budget, AttentionShape shape, Sequences sequences, int room, boolean backward) {
        FlashGraphs graphs = graphs(shape, sequences, room, true), part = backward ? graphs.part(parts(graphs, budget)) : graphs;
        return new Needs(part.deltaElements(), 0, backward && FlashGraphs.takes(shape) ? part.workspaceBytes() : 0);
    }

    static FlashGraphs graphs(AttentionShape shape, Sequences sequences, int room, boolean deterministic) {
        long qkv = CudaTensor.strideFor(shape.qkvColumns() + room), y = CudaTensor.strideFor(shape.queryColumns() + room);
        return graphs(shape, sequences, qkv, y, y, qkv, deterministic);
    }

    // ---- running

    private void bindInputs(CudnnPlan plan, FlashGraphs graphs, long queries, long keys, long values, Sequences sequences) {
        scale.put(graphs.shape().scale());
        plan.bind("q", queries).bind("k", keys).bind("v", values).bind("scale", scale.address()).bind("minusInfinity", minusInfinity.address());
        if (graphs.varying()) {
            long lengths = tables.of(sequences, 0).lengths(), count = sequences.count() + 1L, at = offsets(sequences, graphs);
            plan.bind("lengths.queries", lengths).bind("lengths.keys", lengths).bind("offsets.qkv", at).bind("offsets.y", at + 8 * count)
                    .bind("offsets.dY", at + 16 * count).bind("offsets.dQkv", at + 24 * count).bind("offsets.row", at + 32 * count);
        }
    }

    /** I64 [5][sequences + 1]: where each sequence begins in qkv, y, dY, dQkv and logSumExp, in elements. */
    private long offsets(Sequences sequences, FlashGraphs graphs) {
        long key = graphs.qkvStride() * 31 * 31 * 31 + graphs.yStride() * 31 * 31 + graphs.dYStride() * 31 + graphs.dQkvStride();
        if (!sequences.equals(offsetsOf) || key != offsetsKey) {
            forgetOffsets();
            int count = sequences.count() + 1;
            long[] strides = {graphs.qkvStride(), graphs.yStride(), graphs.dYStride(), graphs.dQkvStride(), graphs.rowHeads()};
            long[] values = new long[5 * count];
            for (int i = 0; i < values.length; i++) {
                values[i] = sequences.start(i % count) * strides[i / count];
            }
            offsets = memory.take(8L * values.length);
            transfers.upload(values, offsets);
            offsetsOf = sequences;
            offsetsKey = key;
        }
        return offsets;
    }

    private void forgetOffsets() {
        if (offsetsOf != null) {
            memory.giveBack(offsets);
            offsetsOf = null;
        }
    }

    private void run(CudnnPlan plan) {
        device.bind();
        long workspace = memory.take(Math.max(1, plan.workspaceBytes()));
        try {
            plan.run(handle, workspace);
        } finally {
            memory.giveBack(workspace);
        }
    }

    // ---- own kernels

    private void own(CudaTensor y, Tensor logSumExp, CudaTensor q, long keys, long values, long kvStride, AttentionShape shape, long firstKeys, long keyCounts) {
        requireDim(shape);
        stage.kernel(SOURCE, "attention_forward").matrix(y).address(logSumExp).matrix(q).number(keys).number(values).number(kvStride).number(firstKeys)
                .number(keyCounts).number(q.rows()).integer(shape.numAttentionHeads()).integer(shape.numKeyValueHeads()).integer(shape.headDim())
                .integer(shape.slidingWindow()).real(shape.scale()).real(shape.softCap()).real(shape.alibiMax())
                .launch(Math.ceilDiv(q.rows() * shape.numAttentionHeads(), WARPS), THREADS);
    }

    private void ownBackward(CudaTensor dQkv, CudaTensor dY, CudaTensor qkv, CudaTensor y, Tensor logSumExp, AttentionShape shape, Sequences sequences) {
        requireDim(shape);
        SequenceTables own = tables.of(sequences, 0);
        int heads = shape.numAttentionHeads(), kvHeads = shape.numKeyValueHeads();
        long rows = qkv.rows();
        try (CudaTensor delta = stage.floats(rows, heads)) {
            stage.kernel(SOURCE, "attention_delta").address(delta).matrix(dY).matrix(y).number(rows).integer(heads).integer(shape.headDim())
                    .launch(Math.ceilDiv(rows * heads, WARPS), THREADS);
            stage.kernel(SOURCE, "attention_backward_q").matrix(dQkv).matrix(dY).matrix(qkv).address(logSumExp).address(delta).number(own.firstKeys()).number(own.keyCounts())
                    .number(rows).integer(heads).integer(kvHeads).integer(shape.headDim()).integer(shape.slidingWindow()).real(shape.scale())
                    .real(shape.softCap()).real(shape.alibiMax()).launch(Math.ceilDiv(rows * heads, WARPS), THREADS);
            stage.kernel(SOURCE, "attention_backward_kv").matrix(dQkv).matrix(dY).matrix(qkv).address(logSumExp).address(delta).number(own.ends())
                    .number(rows).integer(heads).integer(kvHeads).integer(shape.headDim()).integer(shape.slidingWindow()).real(shape.scale())
                    .real(shape.softCap()).real(shape.alibiMax()).launch(Math.ceilDiv(rows * kvHeads, WARPS), THREADS);
        }
    }

    private static void requireDim(AttentionShape shape) {
        if (shape.headDim() > MOST_DIM) {
            throw new IllegalArgumentException("attention: headDim is " + shape.headDim() + ", on a GPU it must be at most " + MOST_DIM);
        }
    }

    // ---- with a cache

    CudaTensor cached(CudaTensor qkv, AttentionShape shape, Sequences sequences, KvCache cache, int layer) {
        CudaTensor keys = CudaTensor.of(cache.keys().get(layer)), values = CudaTensor.of(cache.values().get(layer));
        SequenceTables own = cacheTables.of(sequences, cache.maxLength());
        append(qkv, shape, keys, values, own.ownKeys());
        if (beginHere(sequences)) {
            return forward(qkv, shape, sequences, null);
        }
        CudaTensor y = stage.matrix(qkv.rows(), shape.queryColumns());
        own(y, null, qkv, keys.address(), values.address(), keys.stride(), shape, own.firstKeys(), own.keyCounts());
        return y;
    }

    private void append(CudaTensor qkv, AttentionShape shape, CudaTensor keys, CudaTensor values, long ownKeys) {
        stage.kernel("rows", "append_to_cache").address(keys).address(values).number(keys.stride()).matrix(qkv).number(ownKeys).integer(shape.queryColumns())
                .integer(shape.keyColumns()).launch(qkv.rows(), THREADS);
    }

    /** One new token a sequence, whose place only the device knows. */
    CudaTensor cached(CudaTensor qkv, AttentionShape shape, Tensor positions, KvCache cache, int layer) {
        CudaTensor keys = CudaTensor.of(cache.keys().get(layer)), values = CudaTensor.of(cache.values().get(layer));
        CudaTensor y = stage.matrix(qkv.rows(), shape.queryColumns());
        long rows = qkv.rows();
        int kvHeads = shape.numKeyValueHeads(), dim = shape.headDim();
        if (!shape.isPlain() || dim < NARROWEST || dim > MOST_DIM || Integer.bitCount(dim) != 1 || rows * kvHeads > COUNTERS) {
            try (CudaTensor tables = CudaTensor.allocate(memory, DType.I32, Shape.of(3 * rows), 0)) {
                stage.kernel(DECODING, "decode_tables").address(tables).address(positions).integer(rows).integer(cache.maxLength()).launchFor(rows);
                append(qkv, shape, keys, values, tables.address() + 8 * rows);
                own(y, null, qkv, keys.address(), values.address(), keys.stride(), shape, tables.address(), tables.address() + 4 * rows);
            }
            return y;
        }
        int splits = Math.clamp(Math.ceilDiv(cache.maxLength(), KEYS_OF_A_SPLIT), 1, MOST_SPLITS);
        try (CudaTensor partial = stage.floats(rows, splits, shape.numAttentionHeads(), dim + 2L)) {
            stage.kernel(DECODING, "decode_attention").matrix(y).matrix(qkv).address(keys).address(values).number(keys.stride()).address(positions).address(partial).number(arrived)
                    .integer(cache.maxLength()).integer(splits).integer(shape.numAttentionHeads()).integer(kvHeads).integer(dim).integer(shape.slidingWindow()).real(shape.scale())
                    .real(shape.softCap()).real(shape.alibiMax()).launch((long) splits * kvHeads, Math.toIntExact(rows), DECODING_THREADS, 1);
        }
        return y;
    }

    /** Whether nothing of the sequences lies in the cache. */
    private static boolean beginHere(Sequences sequences) {
        for (int i = 0; i < sequences.count(); i++) {
            if (sequences.past(i) > 0) {
                return false;
            }
        }
        return true;
    }

    @Override
    public void close() {
        plans.values().forEach(plan -> plan.ifPresent(CudnnPlan::close));
        plans.clear();
        tables.close();
        cacheTables.close();
        forgetOffsets();
        memory.giveBack(arrived);
        CudnnGraph.check("cudnnDestroy", cudnnDestroy(handle));
    }
}
