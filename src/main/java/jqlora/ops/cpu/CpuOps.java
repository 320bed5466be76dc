package jqlora.ops.cpu;

import static jqlora.tensor.TensorView.FLOAT;
import static jqlora.tensor.TensorView.INT;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import jqlora.ops.AdamW8bitState;
import jqlora.ops.AdamWState;
import jqlora.ops.AdamWStep;
import jqlora.ops.AttentionShape;
import jqlora.ops.Dropout;
import jqlora.ops.Heads;
import jqlora.ops.Input;
import jqlora.ops.KvCache;
import jqlora.ops.Link;
import jqlora.ops.LoraFactors;
import jqlora.ops.MemoryUse;
import jqlora.ops.MergedStorage;
import jqlora.ops.Ops;
import jqlora.ops.OpsArguments;
import jqlora.ops.OutputHead;
import jqlora.ops.Parameter;
import jqlora.ops.Rehearsal;
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
    private final CpuInputs inputs = new CpuInputs(this, linear, norms, new CpuActivations(this));
    private final CpuHeads heads = new CpuHeads(this, norms);
    private final CpuLoss loss = new CpuLoss(this, linear);
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
    public void addInPlace(Tensor x, float factor, Tensor y) {
        OpsArguments.add(x, y, DType.F32);
        MemorySegment to = CpuTensor.memory(x), from = y == null ? null : CpuTensor.memory(y);
        workers.ranges(x.shape().size(), COPY_GRAIN, (first, last) -> {
            if (factor != 1) {
                math.scale(to, first, factor, null, to, first, (int) (last - first));
            }
            if (from != null) {
                math.add(from, first, to, first, (int) (last - first));
            }
        });
    }

    // ---- embedding

    @Override
    public Tensor embedding(Tensor table, Tensor ids, int first, float scale) {
        OpsArguments.embedding(table, ids);
        return embeddings.forward(table, ids, first, scale);
    }

    @Override
    public void embeddingBackward(Tensor dTable, Tensor dY, Tensor ids, int first, float scale) {
        OpsArguments.embeddingBackward(dTable, dY, ids);
        embeddings.backward(dTable, dY, ids, first, scale);
    }

    // ---- layers

    @Override
    public Tensor compute(Input input) {
        OpsArguments.compute(input);
        return inputs.compute(input);
    }

    @Override
    public void computeBackward(Tensor dX, Tensor dY, Input input) {
        OpsArguments.computeBackward(dX, dY, input);
        inputs.backward(dX, dY, input);
    }

    @Override
    public Tensor linear(Link link, Tensor added, Dropout dropout) {
        OpsArguments.linear(link, added);
        return inputs.linear(link, added, dropout);
    }

    @Override
    public void linearBackward(Tensor dX, Tensor dY, List<Link> chain, Dropout dropout) {
        OpsArguments.linearBackward(dX, dY, chain);
        inputs.linearBackward(dX, dY, chain, dropout);
    }

    @Override
    public Tensor heads(Tensor fused, Heads heads, Tensor rstd) {
        OpsArguments.heads(fused, heads, rstd);
        return this.heads.forward(fused, heads, rstd);
    }

    @Override
    public Tensor headsBackward(Tensor dQkv, Tensor fused, Heads heads, Tensor rstd) {
        OpsArguments.headsBackward(dQkv, fused, heads, rstd);
        return this.heads.backward(dQkv, fused, heads, rstd);
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

    // ---- loss and optimizer

    @Override
    public Tensor scores(Tensor x, OutputHead head) {
        OpsArguments.scores(x, head);
        return loss.scores(x, head);
    }

    @Override
    public void headLoss(Tensor x, OutputHead head, int[] targets, double scale, Tensor lossSum, Tensor dX) {
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
