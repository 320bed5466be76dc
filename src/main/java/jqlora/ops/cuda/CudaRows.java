package jqlora.ops.cuda;

import jqlora.tensor.DType;
import jqlora.tensor.Tensor;

/** Sums of matrices, rows gathered and scattered by their numbers, and numbers converted. */
final class CudaRows {
    private static final String SOURCE = "rows";
    private static final int THREADS = 128, ROWS_OF_A_GRID = 32_768;

    private final CudaOps ops;

    CudaRows(CudaOps ops) {
        this.ops = ops;
    }

    /** {@code x = factor x + y}; y may be null. */
    void add(Tensor x, float factor, Tensor y) {
        CudaTensor out = CudaTensor.toChange(x);
        if (x.dtype() == DType.F32) {
            ops.kernel(SOURCE, "add_floats").address(x).real(factor).address(y).number(x.shape().size()).launchFor(x.shape().size());
        } else {
            CudaTensor added = CudaTensor.orNull(y);
            ops.kernel(SOURCE, "add_rows").matrix(x).real(factor).number(CudaTensor.address(added)).number(added == null ? 0 : added.stride()).number(out.rows()).integer(out.columns())
                    .launch(Math.ceilDiv(out.columns(), 8L * THREADS), (int) Math.min(out.rows(), ROWS_OF_A_GRID), THREADS, 1);
        }
    }

    /** y = the rows {@code first + ids} of {@code table}, times {@code scale}. */
    void gather(CudaTensor y, CudaTensor table, CudaTensor ids, int first, float scale) {
        ops.kernel(SOURCE, "gather_rows").matrix(y).matrix(table).address(ids).integer(y.columns()).integer(table.type()).integer(table.rows()).integer(first).real(scale).launch(y.rows(), THREADS);
    }

    /** Overwrites the rows {@code ids} of {@code y} with those of x. */
    void scatter(CudaTensor y, CudaTensor x, CudaTensor ids) {
        ops.kernel(SOURCE, "scatter_rows").matrix(y).matrix(x).address(ids).integer(x.columns()).launch(x.rows(), THREADS);
    }

    /** Adds the rows of x, times {@code scale}, to the rows {@code ids} of {@code sums}, F32. */
    void addTo(CudaTensor sums, CudaTensor x, CudaTensor ids, int first, float scale) {
        ops.kernel(SOURCE, "add_to_rows").address(sums).matrix(x).address(ids).integer(x.rows()).integer(x.columns()).integer(first).real(scale).launch(x.rows(), THREADS);
    }

    /** {@code floats} = the numbers of x. */
    void convert(CudaTensor floats, CudaTensor x) {
        ops.kernel(SOURCE, "convert_to_float").address(floats).matrix(x).number(x.rows()).number(x.columns()).integer(x.type()).launchFor(floats.shape().size());
    }
}
