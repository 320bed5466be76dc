package jqlora.ops.cpu;

import static jqlora.tensor.TensorView.FLOAT;
import static jqlora.tensor.TensorView.INT;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import jqlora.ops.Parameter;
import jqlora.ops.Store;
import jqlora.ops.Weight;
import jqlora.quant.Absmax;
import jqlora.quant.DynamicMap;
import jqlora.quant.FourBitCodec;
import jqlora.quant.FourBitFormat;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.ByteSink;
import jqlora.tensor.DType;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;
import jqlora.tensor.Workers;

/**
 * What the parts of this backend stand on: memory, threads, products, the arithmetic of rows; and the tensors of {@link Store}. No part
 * knows {@link CpuOps}, which puts them together.
 */
final class CpuStage implements Store {
    static final long COPY_GRAIN = 1 << 14;               // elements of what memory alone holds up: some ten microseconds
    private static final long COPY_BYTES = 1 << 17;
    private static final int LINE = 16;                   // floats of a cache line

    private final MemoryPool pool = new MemoryPool();
    private final Workers workers;
    private final Product product;
    private final RowMath math;
    private final FourBitCodec codec;
    private final ThreadLocal<MemorySegment> rowScratch = ThreadLocal.withInitial(() -> MemorySegment.NULL);

    CpuStage(Workers workers, Product product, RowMath math, FourBitCodec codec) {
        this.workers = workers;
        this.product = product;
        this.math = math;
        this.codec = codec;
    }

    MemoryPool pool() {
        return pool;
    }

    FourBitCodec codec() {
        return codec;
    }

    void close() {
        pool.close();
        workers.close();
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
    public DType computeType() {
        return DType.F32;
    }

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

    /** Runs {@code body} on ranges of columns, for sums over rows, whose order stays as it is. A range begins at a cache line. */
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
        MemorySegment to = CpuTensor.memory(target), from = CpuTensor.memory(source);
        workers.ranges(to.byteSize(), COPY_BYTES, (first, last) -> MemorySegment.copy(from, first, to, first, last - first));
    }

    @Override
    public void fillZero(Tensor tensor) {
        MemorySegment memory = CpuTensor.memory(tensor);
        workers.ranges(memory.byteSize(), COPY_BYTES, (first, last) -> memory.asSlice(first, last - first).fill((byte) 0));
    }

    /** As {@link jqlora.ops.LayerOps#addInPlace(Tensor, float, Tensor)}. */
    void addInPlace(Tensor x, float factor, Tensor y) {
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

    void addInPlace(Tensor x, Tensor y) {
        addInPlace(x, 1, y);
    }
}
