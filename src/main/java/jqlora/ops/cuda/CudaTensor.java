package jqlora.ops.cuda;

import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;

/**
 * A tensor in the device's memory. The rows of a bfloat16 matrix lie {@code stride} elements apart, a multiple of 8, with room behind each row that
 * is not the tensor's: {@code CudaLinear} keeps there what an adapter adds to a product.
 */
final class CudaTensor implements Tensor {
    private final DeviceMemory memory;
    private final DType dtype;
    private final Shape shape;
    private final long stride;
    private final long bytes;
    private long address;
    private HostTensors.Place place;
    private Fp8Rows fp8;

    private CudaTensor(DeviceMemory memory, DType dtype, Shape shape, long stride, long bytes) {
        this.memory = memory;
        this.dtype = dtype;
        this.shape = shape;
        this.stride = stride;
        this.bytes = bytes;
        takeMemory();
    }

    /** @param room elements behind each row of a bfloat16 matrix, at least */
    static CudaTensor allocate(DeviceMemory memory, DType dtype, Shape shape, int room) {
        if (dtype == DType.BF16 && shape.rank() == 2) {
            long stride = strideFor(shape.dim(1) + room);
            return new CudaTensor(memory, dtype, shape, stride, 2 * stride * shape.dim(0));
        }
        long columns = shape.rank() == 0 ? 1 : shape.dim(-1);
        return new CudaTensor(memory, dtype, shape, columns, dtype.byteSize(shape.size()));
    }

    /** Bytes that {@link #allocate} takes. */
    static long bytes(DType dtype, Shape shape, int room) {
        return dtype == DType.BF16 && shape.rank() == 2 ? 2 * strideFor(shape.dim(1) + room) * shape.dim(0) : dtype.byteSize(shape.size());
    }

    /** The least stride for rows of {@code columns} elements. */
    static long strideFor(long columns) {
        return Math.ceilDiv(columns, 8L) * 8;
    }

    /** {@code tensor} as this backend's, open. */
    static CudaTensor of(Tensor tensor) {
        if (tensor instanceof CudaTensor own) {
            if (own.place != null) {
                own.place.arrive();
                own.place = null;
            }
            if (own.address != 0) {
                return own;
            }
        }
        throw new IllegalArgumentException(tensor instanceof CudaTensor ? "tensor " + tensor.dtype() + " " + tensor.shape() + " is closed"
                : "tensor " + tensor.dtype() + " " + tensor.shape() + " is not of the CUDA backend");
    }

    /** As {@link #of}; null for null. */
    static CudaTensor orNull(Tensor tensor) {
        return tensor == null ? null : of(tensor);
    }

    /** {@code tensor}, whose numbers the caller is about to change. */
    static CudaTensor toChange(Tensor tensor) {
        CudaTensor own = of(tensor);
        own.setFp8(null);
        return own;
    }

    static long address(Tensor tensor) {
        return tensor == null ? 0 : of(tensor).address;
    }

    long address() {
        return address;
    }

    /** Elements from one row to the next. */
    long stride() {
        return stride;
    }

    /** Rows when it is taken as a matrix: all dimensions but the last. */
    long rows() {
        return shape.rank() == 2 ? shape.dim(0) : shape.rank() < 2 ? 1 : shape.asMatrix().dim(0);
    }

    long columns() {
        return shape.rank() == 0 ? 1 : shape.dim(-1);
    }

    /** Whether the rows follow each other without a gap. */
    boolean isDense() {
        return stride == columns();
    }

    /** Bytes in the device's memory, the room behind the rows included. */
    long storedBytes() {
        return bytes;
    }

    /** What the kernels call {@code type}: 0, 1, 2 for F32, BF16, F16. */
    int type() {
        return type(dtype);
    }

    static int type(DType dtype) {
        return switch (dtype) {
            case F32 -> 0;
            case BF16 -> 1;
            case F16 -> 2;
            default -> throw new IllegalArgumentException("dtype is " + dtype + ", it must be F32, BF16 or F16");
        };
    }

    @Override
    public DType dtype() {
        return dtype;
    }

    @Override
    public Shape shape() {
        return shape;
    }

    // ---- in the host's memory and back

    /** Where its elements are, or come from; null when they are here. */
    HostTensors.Place place() {
        return place;
    }

    /** Its elements are on their way to {@code place}. */
    void leave(HostTensors.Place place) {
        this.place = place;
    }

    void takeMemory() {
        address = memory.take(bytes);
        memory.count(bytes);
    }

    void giveMemoryBack() {
        setFp8(null);
        memory.giveBack(address);
        memory.count(-bytes);
        address = 0;
    }

    // ---- in e4m3

    /** The same numbers in e4m3, where the kernel that made them wrote these too; else null. */
    Fp8Rows fp8() {
        return fp8;
    }

    /** From now on the tensor owns {@code rows}, which hold its numbers; null when these change. */
    void setFp8(Fp8Rows rows) {
        if (fp8 != null) {
            fp8.close();
        }
        fp8 = rows;
    }

    @Override
    public void close() {
        if (place != null) {
            place.close();
            place = null;
        }
        if (address != 0) {
            giveMemoryBack();
        }
    }

    @Override
    public String toString() {
        return dtype + " " + shape;
    }
}
