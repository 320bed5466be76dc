package jqlora.ops.cuda;

import jqlora.tensor.DType;
import jqlora.tensor.Shape;

/**
 * A matrix in e4m3 with a scale for each row.
 *
 * @param codes U8 [rows, columns]
 * @param scales F32 [rows]
 */
record Fp8Rows(CudaTensor codes, CudaTensor scales) implements AutoCloseable {
    /** Undefined elements. */
    static Fp8Rows allocate(DeviceMemory memory, long rows, long columns) {
        return new Fp8Rows(CudaTensor.allocate(memory, DType.U8, Shape.of(rows, columns), 0), CudaTensor.allocate(memory, DType.F32, Shape.of(rows), 0));
    }

    @Override
    public void close() {
        codes.close();
        scales.close();
    }
}
