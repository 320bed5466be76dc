package jqlora.ops.cpu;

import static jqlora.tensor.TensorView.FLOAT;
import static jqlora.tensor.TensorView.INT;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import jqlora.ops.Activation;
import jqlora.ops.AdamW8bitState;
import jqlora.ops.AdamWState;
import jqlora.ops.AdamWStep;
import jqlora.ops.AttentionShape;
import jqlora.ops.KvCache;
import jqlora.ops.LinearWeights;
import jqlora.ops.LoraFactors;
import jqlora.ops.MemoryUse;
import jqlora.ops.MergedStorage;
import jqlora.ops.Norm;
import jqlora.ops.Ops;
import jqlora.ops.OpsArguments;
import jqlora.ops.Parameter;
import jqlora.ops.Rehearsal;
import jqlora.ops.RopeTable;
import jqlora.ops.Sequences;
import jqlora.ops.Weight;
import jqlora.quant.Absmax;
import jqlora.quant.DynamicMap;
import jqlora.quant.FourBitCodec;
import jqlora.quant.FourBitFormat;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.ByteSink;
import jqlora.tensor.DType;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.Processors;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;
import jqlora.tensor.Workers;

/**
 * {@link Ops} on the processor: float32 activations in memory outside the Java heap, 4-bit weights decoded while a product reads them.
 */
public final class CpuOps implements Ops {
    static final long COPY_GRAIN = 1 << 14;               // elements of what memory alone holds up: some ten microseconds
    private static final long COPY_BYTES = 1 << 17;
    private static final int LINE = 16;                   // floats of a cache line

    private final MemoryPool pool = new MemoryPool();
    private final Workers workers;
    private final Product product;
    private final RowMath math;
    private final FourBitCodec codec;
    private final CpuEmbedding embeddings = new CpuEmbedding(this);
    private final CpuLinear linear = new CpuLinear(this);
    private final CpuAttention attention = new CpuAttention(this);
    private final CpuNorm norms = new CpuNorm(this);
    private final CpuGated gated = new CpuGated(this);
    private final CpuLoss loss = new CpuLoss(this);
    private final CpuOptimizer optimizer = new CpuOptimizer(this);
    private final CpuMerge merge;
    private final ThreadLocal<MemorySegment> rowScratch = ThreadLocal.withInitial(() -> MemorySegment.NULL);

    private CpuOps(Workers workers, Product product, RowMath math, FourBitCodec codec) {
        this.workers = workers;
        this.product = product;
        this.math = math;
        this.codec = codec;
        this.merge = new CpuMerge(this, codec);
    }

    /** The fastest products that this JVM can run. */
    public static CpuOps open(CpuOptions options) {
        return create(options.threadsOn(Processors.ofProcess()));
    }

    /** All processors that this process may use. */
    public static CpuOps create() {
        return open(CpuOptions.defaults());
    }

    /** @param threads how many threads compute, the caller included */
    public static CpuOps create(int threads) {
        Workers workers = new Workers(threads);
        Product product = FourBitCodec.vectorModulePresent() ? new VectorProduct(workers) : new TorchProduct(workers);
        return new CpuOps(workers, product, RowMath.fastest(), FourBitCodec.fastest(workers));
    }

    /** PyTorch's products and plain loops, as where the Vector API's module is missing. */
    public static CpuOps withoutVectorApi(int threads) {
        Workers workers = new Workers(threads);
        return new CpuOps(workers, new TorchProduct(workers), new PlainRowMath(), new jqlora.quant.PlainFourBitCodec());
    }

    Workers workers() {
        return workers;
    }

    Product product() {
        return product;
    }

    RowMath math() {
        return math;
    }

    @Override
    public String name() {
        return "cpu";
    }

    @Override
    public String description() {
        return product.description();
    }

    @Override
    public DType computeType() {
        return DType.F32;
    }

    @Override
    public int threads() {
        return workers.size();
    }

    @Override
    public MemoryUse memory() {
        return pool.use();
    }

    @Override
    public void resetPeak() {
        pool.resetPeak();
    }

    @Override
    public Rehearsal rehearsal() {
        return new Rehearsal(new CpuAccount(pool.use()));
    }

    @Override
    public void close() {
        pool.close();
        workers.close();
    }

    // ---- memory

    @Override
    public Tensor allocate(DType dtype, long... dims) {
        return new CpuTensor(pool, dtype, Shape.of(dims));
    }

    @Override
    public Tensor upload(TensorView host) {
        Tensor tensor = allocate(host.dtype(), host.shape().toArray());
        CpuTensor.memory(tensor).copyFrom(host.data());
        return tensor;
    }

    @Override
    public Tensor upload(int[] values) {
        Tensor tensor = allocate(DType.I32, values.length);
        MemorySegment.copy(values, 0, CpuTensor.memory(tensor), INT, 0, values.length);
        return tensor;
    }

    @Override
    public Weight.FourBit quantize(TensorView host, FourBitFormat format) {
        OpsArguments.quantize(host);
        try (Arena arena = Arena.ofShared()) {
            return upload(codec.quantize(host, format, arena));
        }
    }

    @Override
    public TensorView download(Tensor tensor) {
        MemorySegment copy = Arena.ofAuto().allocate(Math.max(1, tensor.byteSize()), 8).asSlice(0, tensor.byteSize());
        copy.copyFrom(CpuTensor.memory(tensor));
        return new TensorView(tensor.dtype(), tensor.shape(), copy);
    }

    @Override
    public void download(Tensor tensor, ByteSink sink) throws IOException {
        sink.write(CpuTensor.memory(tensor).asReadOnly());
    }

    private static QuantizedTensor view(Weight.FourBit weight) {
        MemorySegment absmax = CpuTensor.memory(weight.absmax());
        Absmax stored = weight.nestedAbsmax() == null ? new Absmax.Plain(absmax)
                : new Absmax.Nested(absmax, CpuTensor.memory(weight.nestedAbsmax()), weight.offset(), DynamicMap.signed());
        return new QuantizedTensor(weight.format(), weight.shape(), CpuTensor.memory(weight.codes()), stored);
    }

    @Override
    public Tensor toFloat(Weight weight) {
        return switch (weight) {
            case Weight.Dense(Parameter parameter) -> toFloat(parameter.value());
            case Weight.FourBit fourBit -> {
                Tensor floats = allocate(DType.F32, fourBit.shape().toArray());
                codec.dequantize(view(fourBit), CpuTensor.memory(floats));
                yield floats;
            }
        };
    }

    @Override
    public Weight merge(String layer, Weight base, LoraFactors factors, MergedStorage storage) {
        OpsArguments.merge(base, factors);
        return merge.merge(layer, base, factors, storage);
    }

    private Tensor toFloat(Tensor tensor) {
        Tensor floats = allocate(DType.F32, tensor.shape().toArray());
        workers.ranges(tensor.shape().size(), COPY_GRAIN, (from, to) -> {
            float[] part = new float[(int) (to - from)];
            FloatConversion.toFloats(tensor.dtype(), CpuTensor.memory(tensor), from, part, 0, part.length);
            MemorySegment.copy(part, 0, CpuTensor.memory(floats), FLOAT, from * 4, part.length);
        });
        return floats;
    }

    /** {@code tensor} as F32: itself behind a handle whose closing does nothing, or a converted copy. */
    Tensor asFloats(Tensor tensor) {
        return tensor.dtype() == DType.F32 ? new BorrowedTensor(tensor) : toFloat(tensor);
    }

    /** {@code count} columns from {@code from} on. */
    @FunctionalInterface
    interface Columns {
        void accept(int from, int count);
    }

    /** Runs {@code body} on ranges of columns, for sums over rows, whose order the ranges leave as it is. A range begins at a cache line. */
    void columns(int columns, Columns body) {
        workers.ranges(Math.ceilDiv(columns, LINE), 2, (first, last) -> {
            int from = (int) first * LINE;
            body.accept(from, Math.min(columns, (int) last * LINE) - from);
        });
    }

    /** At least {@code elements} floats that only the calling thread uses; valid until its next call. */
    MemorySegment rowScratch(long elements) {
        MemorySegment scratch = rowScratch.get();
        if (scratch.byteSize() < 4 * elements) {
            scratch = Arena.ofAuto().allocate(4 * elements, 64);
            rowScratch.set(scratch);
        }
        return scratch;
    }

    MatrixSource matrix(Weight weight) {
        return switch (weight) {
            case Weight.Dense(Parameter parameter) -> matrix(parameter.value());
            case Weight.FourBit fourBit -> new MatrixSource.FourBit(view(fourBit), codec);
        };
    }

    MatrixSource matrix(Tensor tensor) {
        int rows = (int) tensor.shape().dim(0), columns = (int) tensor.shape().dim(1);
        return tensor.dtype() == DType.F32 ? new MatrixSource.Floats(CpuTensor.memory(tensor), 0, columns, rows, columns)
                : new MatrixSource.Halves(tensor.dtype(), CpuTensor.memory(tensor), rows, columns);
    }

    @Override
    public void copyInto(Tensor target, Tensor source) {
        OpsArguments.copyInto(target, source);
        MemorySegment to = CpuTensor.memory(target), from = CpuTensor.memory(source);
        workers.ranges(to.byteSize(), COPY_BYTES, (first, last) -> MemorySegment.copy(from, first, to, first, last - first));
    }

    @Override
    public void fillZero(Tensor tensor) {
        MemorySegment memory = CpuTensor.memory(tensor);
        workers.ranges(memory.byteSize(), COPY_BYTES, (first, last) -> memory.asSlice(first, last - first).fill((byte) 0));
    }

    @Override
    public Tensor add(Tensor x, Tensor y) {
        OpsArguments.add(x, y, DType.F32);
        Tensor sum = allocate(DType.F32, x.shape().toArray());
        MemorySegment to = CpuTensor.memory(sum), first = CpuTensor.memory(x), second = CpuTensor.memory(y);
        workers.ranges(x.shape().size(), COPY_GRAIN, (from, end) -> {
            MemorySegment.copy(first, from * 4, to, from * 4, (end - from) * 4);
            math.add(second, from, to, from, (int) (end - from));
        });
        return sum;
    }

    @Override
    public void addInPlace(Tensor x, Tensor y) {
        OpsArguments.add(x, y, DType.F32);
        MemorySegment to = CpuTensor.memory(x), from = CpuTensor.memory(y);
        workers.ranges(x.shape().size(), COPY_GRAIN, (first, last) -> math.add(from, first, to, first, (int) (last - first)));
    }

    // ---- embedding

    @Override
    public Tensor embedding(Tensor table, Tensor ids, float scale) {
        OpsArguments.embedding(table, ids);
        return embeddings.forward(table, ids, scale);
    }

    @Override
    public void embeddingBackward(Tensor dTable, Tensor dY, Tensor ids, float scale) {
        OpsArguments.embeddingBackward(dTable, dY, ids);
        embeddings.backward(dTable, dY, ids, scale);
    }

    // ---- layers

    @Override
    public Tensor norm(Tensor x, Norm norm, Tensor statistics) {
        OpsArguments.norm("norm", x, norm, statistics);
        return norms.forward(x, norm, statistics);
    }

    @Override
    public Tensor normAgain(Tensor x, Norm norm, Tensor statistics) {
        OpsArguments.norm("normAgain", x, norm, statistics);
        return norms.again(x, norm, statistics);
    }

    @Override
    public void normBackward(Tensor dX, Tensor dY, Tensor x, Norm norm, Tensor statistics) {
        OpsArguments.normBackward(dX, dY, x, norm, statistics);
        norms.backward(dX, dY, x, norm, statistics);
    }

    @Override
    public Tensor headNorm(Tensor qkv, AttentionShape shape, Tensor qWeight, Tensor kWeight, float eps, Tensor rstd) {
        OpsArguments.headNorm("headNorm", qkv, shape, qWeight, kWeight, rstd);
        return norms.headForward(qkv, shape, qWeight, kWeight, eps, rstd);
    }

    @Override
    public void headNormBackward(Tensor dQkv, Tensor qkv, AttentionShape shape, Parameter qWeight, Parameter kWeight, Tensor rstd) {
        OpsArguments.headNormBackward(dQkv, qkv, shape, qWeight, kWeight, rstd);
        norms.headBackward(dQkv, qkv, shape, qWeight, kWeight, rstd);
    }

    @Override
    public Tensor linear(Tensor x, List<LinearWeights> group, Tensor inner, long dropoutKey) {
        OpsArguments.linear("linear", x, group, inner);
        return linear.forward(x, group, inner, dropoutKey);
    }

    @Override
    public Tensor linearAdd(Tensor added, Tensor x, List<LinearWeights> group, Tensor inner, long dropoutKey) {
        OpsArguments.linearAdd(added, x, group, inner);
        Tensor y = linear.forward(x, group, inner, dropoutKey);
        addInPlace(y, added);
        return y;
    }

    @Override
    public void linearBackward(Tensor dX, Tensor dY, Tensor x, List<LinearWeights> group, Tensor inner, long dropoutKey) {
        OpsArguments.linearBackward(dX, dY, x, group, inner);
        linear.backward(dX, dY, x, group, inner, dropoutKey);
    }

    @Override
    public void normedLinearBackward(Tensor dX, Tensor dY, Tensor x, Norm norm, Tensor statistics, List<LinearWeights> group, Tensor inner, long dropoutKey) {
        OpsArguments.normedLinearBackward(dX, dY, x, norm, statistics, group, inner);
        norms.linearBackward(dX, x, norm, statistics, dNormed -> {
            try (Tensor normed = norms.again(x, norm, statistics)) {
                linear.backward(dNormed, dY, normed, group, inner, dropoutKey);
            }
        });
    }

    @Override
    public void ropeInPlace(Tensor qkv, AttentionShape shape, RopeTable table, Tensor positions) {
        OpsArguments.rope("rope", qkv, shape, table, positions);
        rotate(qkv, shape, table, positions, 1f);
    }

    @Override
    public void ropeBackwardInPlace(Tensor dQkv, AttentionShape shape, RopeTable table, Tensor positions) {
        OpsArguments.rope("ropeBackward", dQkv, shape, table, positions);
        rotate(dQkv, shape, table, positions, -1f);
    }

    private void rotate(Tensor qkv, AttentionShape shape, RopeTable table, Tensor positions, float direction) {
        int half = table.half(), heads = shape.numAttentionHeads() + shape.numKeyValueHeads();
        MemorySegment memory = CpuTensor.memory(qkv), cos = CpuTensor.memory(table.cos()), sin = CpuTensor.memory(table.sin());
        for (long row = 0; row < qkv.shape().dim(0); row++) {
            OpsArguments.position(CpuTensor.memory(positions).get(INT, row * 4), row, table);
        }
        workers.ranges(qkv.shape().dim(0), 16, (from, to) -> {
            for (long row = from; row < to; row++) {
                int position = CpuTensor.memory(positions).get(INT, row * 4);
                for (int head = 0; head < heads; head++) {
                    long at = row * shape.qkvColumns() + (long) head * shape.headDim();
                    math.rotate(memory, at, at + half, cos, sin, (long) position * half, half, direction);
                }
            }
        });
    }

    @Override
    public Tensor attention(Tensor qkv, AttentionShape shape, Sequences sequences, Tensor logSumExp) {
        OpsArguments.attention(qkv, shape, sequences, logSumExp);
        return attention.forward(qkv, shape, sequences, logSumExp);
    }

    @Override
    public void attentionBackward(Tensor dQkv, Tensor dY, Tensor qkv, Tensor y, Tensor logSumExp, AttentionShape shape, Sequences sequences) {
        OpsArguments.attentionBackward(dQkv, dY, qkv, y, logSumExp, shape, sequences);
        attention.backward(dQkv, dY, qkv, y, logSumExp, shape, sequences);
    }

    @Override
    public Tensor cachedAttention(Tensor qkv, AttentionShape shape, Sequences sequences, KvCache cache, int layer) {
        OpsArguments.cachedAttention(qkv, shape, sequences, cache, layer);
        return attention.cached(qkv, shape, sequences, cache, layer);
    }

    @Override
    public Tensor gatedActivation(Tensor gateUp, Activation activation) {
        OpsArguments.gatedActivation("gatedActivation", gateUp);
        return gated.forward(gateUp, activation);
    }

    @Override
    public void gatedActivationBackward(Tensor dGateUp, Tensor dY, Tensor gateUp, Activation activation) {
        OpsArguments.gatedActivationBackward(dGateUp, dY, gateUp);
        gated.backward(dGateUp, dY, gateUp, activation);
    }

    @Override
    public void gatedLinearBackward(Tensor dGateUp, Tensor dY, Tensor gateUp, Activation activation, List<LinearWeights> group, Tensor inner, long dropoutKey) {
        OpsArguments.gatedLinearBackward(dGateUp, dY, gateUp, group, inner);
        try (Tensor dActivated = allocate(DType.F32, gateUp.shape().dim(0), gateUp.shape().dim(1) / 2)) {
            try (Tensor activated = gatedActivation(gateUp, activation)) {
                linear.backward(dActivated, dY, activated, group, inner, dropoutKey);
            }
            gatedActivationBackward(dGateUp, dActivated, gateUp, activation);
        }
    }

    // ---- loss and optimizer

    @Override
    public void headLoss(Tensor x, LinearWeights head, int[] targets, double scale, Tensor lossSum, Tensor dX) {
        OpsArguments.headLoss(x, head, targets, lossSum, dX);
        loss.headLoss(x, head, targets, scale, lossSum, dX);
    }

    @Override
    public void gradientNorm(List<Parameter> parameters, Tensor norm) {
        OpsArguments.gradientNorm(parameters, norm);
        optimizer.gradientNorm(parameters, norm);
    }

    @Override
    public void adamW(List<AdamWState> states, AdamWStep step, Tensor norm) {
        OpsArguments.adamW(states, norm);
        optimizer.adamW(states, step, norm);
    }

    @Override
    public void adamW8bit(List<AdamW8bitState> states, AdamWStep step, Tensor norm) {
        OpsArguments.adamW8bit(states, norm);
        optimizer.adamW8bit(states, step, norm);
    }

    @Override
    public void zeroGradients(List<Parameter> parameters) {
        OpsArguments.zeroGradients(parameters);
        optimizer.zeroGradients(parameters);
    }
}
