package jqlora.ops.cuda;

import java.util.List;
import jqlora.ops.EightBitMoment;
import jqlora.tensor.DType;

/**
 * How the tables of optimizer.cu list moments.
 *
 * @param part elements of a parameter that a block of the kernel takes at most; a multiple of {@link #ALIGNMENT}
 * @param columns the tensors that the moments of a parameter lie in
 */
record MomentLayout(long part, List<Column> columns) {
    /** What a part's first element is a multiple of. */
    static final long ALIGNMENT = EightBitMoment.BLOCK_SIZE;

    /** @param block elements of the parameter that share a number of the tensor */
    record Column(DType dtype, long block) {
        /** What {@code elements} of the parameter take, from a multiple of {@code block} on. */
        long bytes(long elements) {
            return dtype.byteSize(Math.ceilDiv(elements, block));
        }
    }

    private static final Column NUMBERS = new Column(DType.F32, 1), CODES = new Column(DType.U8, 1), ABSMAX = new Column(DType.F32, EightBitMoment.BLOCK_SIZE);

    static final MomentLayout BITS_32 = new MomentLayout(65_536, List.of(NUMBERS, NUMBERS)), BITS_8 = new MomentLayout(16_384, List.of(CODES, ABSMAX, CODES, ABSMAX));

    /** Numbers that a part has in a table: its value, its gradient, its columns and its size. */
    int fields() {
        return columns.size() + 3;
    }
}
