package jqlora.ops;

import static jqlora.Assert.assertClose;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import jqlora.ops.cpu.CpuOps;
import jqlora.ops.cuda.CudaOps;
import jqlora.ops.cuda.Gpu;
import jqlora.tensor.DType;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;

/** A backend under test. It keeps what a test made and closes it; {@link #finish} fails if the backend then still holds memory. */
public final class TestOps implements AutoCloseable {
    private final String name;
    private final Ops ops;
    private final boolean sumsAreFixed;
    private final double unit;
    private final List<AutoCloseable> kept = new ArrayList<>();

    private TestOps(String name, Ops ops, boolean sumsAreFixed) {
        this.name = name;
        this.ops = ops;
        this.sumsAreFixed = sumsAreFixed;
        this.unit = ops.computeType() == DType.F32 ? 0x1p-24 : 0x1p-9;
    }

    /**
     * Every backend of this machine: for {@code @MethodSource("jqlora.ops.TestOps#backends")}. Where tests of the GPU are wanted, that one alone: the
     * machine that has it need not have the processor's engine.
     */
    public static Stream<TestOps> backends() {
        if (Gpu.isWanted()) {
            return Stream.of(new TestOps("CUDA", CudaOps.open(Gpu.options()), false));
        }
        return Stream.of(new TestOps("Vector API", CpuOps.create(2), true), new TestOps("PyTorch and plain loops", CpuOps.withoutVectorApi(2), false));
    }

    /** A backend that a test made itself. */
    public static TestOps of(String name, Ops ops) {
        return new TestOps(name, ops, true);
    }

    public Ops ops() {
        return ops;
    }

    /** Whether a sum has the same order in a product of another shape, so that a sequence has the same bits alone and in a batch. */
    public boolean sumsAreFixed() {
        return sumsAreFixed;
    }

    /** {@code closeable} again, which {@link #finish} closes. */
    public <T extends AutoCloseable> T keep(T closeable) {
        kept.add(closeable);
        return closeable;
    }

    /** How far a sum of logarithms of probabilities may be off, relative to it: logits have the compute type. */
    public double lossTolerance(double units) {
        return ops.computeType() == DType.F32 ? units * 0x1p-24 : 4e-3;
    }

    // ---- data

    /** Normally distributed values of the compute type. */
    public Matrix random(Random random, int rows, int columns) {
        return Matrix.random(random, rows, columns).rounded(ops.computeType());
    }

    /** [rows, columns] of the compute type. */
    public Tensor activation(Matrix matrix) {
        return upload(ops.computeType(), matrix, matrix.rows(), matrix.columns());
    }

    /** F32 [rows, columns]. */
    public Tensor floats(Matrix matrix) {
        return upload(DType.F32, matrix, matrix.rows(), matrix.columns());
    }

    /** {@code matrix}, whose elements {@code dtype} can hold, with another shape. */
    public Tensor upload(DType dtype, Matrix matrix, long... dims) {
        Shape shape = Shape.of(dims);
        float[] floats = matrix.toFloats();
        MemorySegment bytes = MemorySegment.ofArray(new byte[Math.toIntExact(dtype.byteSize(shape.size()))]);
        FloatConversion.fromFloats(floats, 0, floats.length, dtype, bytes, 0);
        return keep(ops.upload(new TensorView(dtype, shape, bytes)));
    }

    public Tensor ids(int... ids) {
        return keep(ops.upload(ids));
    }

    /** Frozen, of {@code dtype}. */
    public Parameter frozen(String name, DType dtype, Matrix value, long... dims) {
        return Parameter.frozen(name, upload(dtype, value, dims));
    }

    /** F32; {@code gradient} is what lies in the gradient already. */
    public Parameter trained(String name, Matrix value, Matrix gradient, long... dims) {
        return new Parameter(name, upload(DType.F32, value, dims), upload(DType.F32, gradient, dims));
    }

    /** NaN in every element: for what an operation says it overwrites. */
    public Tensor poisoned(DType dtype, long... dims) {
        Shape shape = Shape.of(dims);
        return upload(dtype, Matrix.filled(1, Math.toIntExact(shape.size()), Double.NaN), dims);
    }

    /** Lets the next tensor of this shape that the backend makes begin with NaN, by giving back such a one. */
    public void poisonNext(long... dims) {
        Tensor tensor = poisoned(ops.computeType(), dims);
        kept.removeLast();
        tensor.close();
    }

    // ---- results

    public float[] values(Tensor tensor) {
        return ops.download(tensor).toFloats();
    }

    /** The first element of an F64 tensor. */
    public double number(Tensor tensor) {
        return ops.download(tensor).data().get(TensorView.DOUBLE, 0);
    }

    /**
     * Every element within {@code units} rounding errors of the compute type, relative to the element and to the largest one: what a
     * sum loses is a part of its summands, not of its result.
     */
    public void assertNear(String what, Tensor actual, Matrix expected, double units) {
        assertEquals(expected.rows() * (long) expected.columns(), actual.shape().size(), what + ": size of " + actual.shape());
        double tolerance = units * unit;
        assertClose(what + " on " + name, values(actual), expected.toArray(), tolerance, tolerance * expected.largestMagnitude());
    }

    /** As {@link #assertNear(String, Tensor, Matrix, double)}, of what is computed from float32 numbers on every backend. */
    public void assertNearFloats(String what, Tensor actual, Matrix expected, double units) {
        double tolerance = units * 0x1p-24;
        assertClose(what + " on " + name, values(actual), expected.toArray(), tolerance, tolerance * expected.largestMagnitude());
    }

    /**
     * Every element within {@code units} rounding errors of the sum of its summands' magnitudes, which is what a sum can promise when
     * its summands cancel.
     *
     * @param terms like {@code expected}
     */
    public void assertNear(String what, Tensor actual, Matrix expected, Matrix terms, double units) {
        Matrix values = Matrix.of(expected.rows(), expected.columns(), values(actual));
        assertClose(what + " on " + name + ", divided by the summands' magnitudes", values.dividedBy(terms).toArray(),
                expected.dividedBy(terms).toArray(), 0, units * unit);
    }

    /** Closes what the test made; nothing else may be open. */
    public void finish() throws Exception {
        for (AutoCloseable closeable : kept) {
            closeable.close();
        }
        kept.clear();
        assertEquals(0, ops.memory().bytesInUse(), "bytes that an operation left open");
    }

    @Override
    public void close() {
        ops.close();
    }

    @Override
    public String toString() {
        return name;
    }
}
