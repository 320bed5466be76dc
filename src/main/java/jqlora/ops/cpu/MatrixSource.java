package jqlora.ops.cpu;

import java.lang.foreign.MemorySegment;
import java.util.List;
import jqlora.quant.FourBitCodec;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.DType;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.TensorView;

/** A matrix that a product reads row by row, as float32, whatever it is stored as. */
sealed interface MatrixSource {
    int rows();

    int columns();

    /**
     * Reads {@code count} elements of row {@code row} from column {@code column} on.
     *
     * @param out overwritten from index {@code at}
     */
    void read(int row, int column, int count, float[] out, int at);

    /** {@code columns} of F32 memory whose rows lie {@code stride} elements apart, the first element at index {@code first}. */
    record Floats(MemorySegment memory, long first, long stride, int rows, int columns) implements MatrixSource {
        @Override
        public void read(int row, int column, int count, float[] out, int at) {
            MemorySegment.copy(memory, TensorView.FLOAT, (first + row * stride + column) * 4, out, at, count);
        }
    }

    /** BF16 or F16 memory. */
    record Halves(DType dtype, MemorySegment memory, int rows, int columns) implements MatrixSource {
        @Override
        public void read(int row, int column, int count, float[] out, int at) {
            FloatConversion.toFloats(dtype, memory, (long) row * columns + column, out, at, count);
        }
    }

    /** A 4-bit weight, decoded as it is read. */
    record FourBit(QuantizedTensor tensor, FourBitCodec codec) implements MatrixSource {
        @Override
        public int rows() {
            return (int) tensor.shape().dim(0);
        }

        @Override
        public int columns() {
            return (int) tensor.shape().dim(1);
        }

        @Override
        public void read(int row, int column, int count, float[] out, int at) {
            codec.dequantize(tensor, (long) row * columns() + column, count, out, at);
        }
    }

    /** Matrices of equal width, one below the other. */
    record Stacked(List<MatrixSource> parts, int rows, int columns) implements MatrixSource {
        static MatrixSource of(List<MatrixSource> parts) {
            return parts.size() == 1 ? parts.getFirst()
                    : new Stacked(parts, parts.stream().mapToInt(MatrixSource::rows).sum(), parts.getFirst().columns());
        }

        @Override
        public void read(int row, int column, int count, float[] out, int at) {
            int rest = row;
            for (MatrixSource part : parts) {
                if (rest < part.rows()) {
                    part.read(rest, column, count, out, at);
                    return;
                }
                rest -= part.rows();
            }
            throw new IndexOutOfBoundsException("row " + row + " of " + rows);
        }
    }
}
