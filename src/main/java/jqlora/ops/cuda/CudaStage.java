package jqlora.ops.cuda;

import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;

/**
 * What the parts of this backend stand on: kernels, and memory for what they make. No part knows {@link CudaOps}, which puts them
 * together.
 */
final class CudaStage {
    private final DeviceMemory memory;
    private final Kernels kernels;
    private final Transfers transfers;
    private final boolean fp8;
    private int room;

    /** @param fp8 whether products are in FP8 */
    CudaStage(DeviceMemory memory, Kernels kernels, Transfers transfers, boolean fp8) {
        this.memory = memory;
        this.kernels = kernels;
        this.transfers = transfers;
        this.fp8 = fp8;
    }

    Kernel kernel(String source, String name) {
        return kernels.get(source, name);
    }

    /** A bfloat16 matrix with the room behind its rows that adapters have needed so far. */
    CudaTensor matrix(long rows, long columns) {
        return CudaTensor.allocate(memory, DType.BF16, Shape.of(rows, columns), room);
    }

    /** For a matrix that a product in FP8 may read next; null where there are none, or none of this size. */
    Fp8Rows fp8Rows(long rows, long columns) {
        boolean read = fp8 && rows > CudaFewRows.MOST_ROWS && columns % Fp8Weights.SEGMENT == 0;
        return read ? Fp8Rows.allocate(memory, rows, columns) : null;
    }

    CudaTensor floats(long... dims) {
        return CudaTensor.allocate(memory, DType.F32, Shape.of(dims), 0);
    }

    CudaTensor doubles(long count) {
        return CudaTensor.allocate(memory, DType.F64, Shape.of(count), 0);
    }

    CudaTensor bytes(long count) {
        return CudaTensor.allocate(memory, DType.U8, Shape.of(count), 0);
    }

    /** From now on matrices have at least {@code columns} columns of room. */
    void reserveRoom(int columns) {
        room = Math.max(room, columns);
    }

    /** Columns of room that matrices have. */
    int room() {
        return room;
    }

    CudaTensor allocate(DType dtype, long... dims) {
        return CudaTensor.allocate(memory, dtype, Shape.of(dims), room);
    }

    CudaTensor upload(int[] values) {
        CudaTensor tensor = CudaTensor.allocate(memory, DType.I32, Shape.of(values.length), 0);
        transfers.upload(values, tensor.address());
        return tensor;
    }

    void copyInto(Tensor target, Tensor source) {
        transfers.copy(CudaTensor.toChange(target), CudaTensor.of(source));
    }
}
