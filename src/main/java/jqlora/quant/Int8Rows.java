package jqlora.quant;

import jqlora.tensor.Shape;
import jqlora.tensor.TensorView;

/**
 * A weight in 8 bits as LLM.int8() stores it: {@code code = round(127 w / absmax of the row)}, to the nearest, halves to the even one. For comparisons; no
 * operation computes with it.
 *
 * <pre>{@code
 * jshell> Int8Rows.of(TensorView.ofFloats(new float[] {0.5f, -1f, 0.1f}, 1, 3)).toFloats()
 * [0.503937, -1.0, 0.102362]
 * }</pre>
 *
 * @param shape [rows, columns]
 * @param codes [rows * columns], -127 ... 127
 * @param absmax the largest magnitude of each row
 * @see <a href="https://arxiv.org/abs/2208.07339">LLM.int8(), section 2</a>
 * @see <a href="https://github.com/bitsandbytes-foundation/bitsandbytes/blob/95f9af30/bitsandbytes/backends/default/ops.py">bitsandbytes, int8_vectorwise_quant</a>
 */
public record Int8Rows(Shape shape, byte[] codes, float[] absmax) {
    private static final float MOST = 127;

    /**
     * {@code weight} in 8 bits.
     *
     * @param weight [rows, columns], F32, F16 or BF16; read
     * @throws IllegalArgumentException if it has not two dimensions, or a number is not finite
     */
    public static Int8Rows of(TensorView weight) {
        if (weight.shape().rank() != 2) {
            throw new IllegalArgumentException("INT8: the weight has shape " + weight.shape() + ", it must be [rows, columns]");
        }
        float[] values = weight.toFloats();
        int columns = (int) weight.shape().dim(1);
        float[] absmax = new float[(int) weight.shape().dim(0)];
        byte[] codes = new byte[values.length];
        for (int row = 0; row < absmax.length; row++) {
            for (int i = row * columns; i < (row + 1) * columns; i++) {
                if (!Float.isFinite(values[i])) {
                    throw new IllegalArgumentException("INT8: the number at row " + row + ", column " + i % columns + " is " + values[i] + ", it must be finite");
                }
                absmax[row] = Math.max(absmax[row], Math.abs(values[i]));
            }
            for (int i = row * columns; i < (row + 1) * columns && absmax[row] > 0; i++) {
                codes[i] = (byte) Math.rint(values[i] * (MOST / absmax[row]));
            }
        }
        return new Int8Rows(weight.shape(), codes, absmax);
    }

    /** The numbers as they are read back, {@code code absmax / 127}, row-major. */
    public float[] toFloats() {
        float[] values = new float[codes.length];
        int columns = (int) shape.dim(1);
        for (int i = 0; i < values.length; i++) {
            values[i] = codes[i] * absmax[i / columns] / MOST;
        }
        return values;
    }

    /** Bytes of codes and of one float32 a row. */
    public long byteSize() {
        return codes.length + 4L * absmax.length;
    }

    /** Such as {@code [768, 768] in int8, an absmax a row}. */
    @Override
    public String toString() {
        return shape + " in int8, an absmax a row";
    }
}
