package jqlora.inspect;

import java.lang.foreign.Arena;
import jqlora.quant.FourBitFormat;
import jqlora.quant.Int8Rows;
import jqlora.quant.PlainFourBitCodec;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.TensorView;

/**
 * What a way to store one weight costs: how far the numbers that are read back are from the exact ones, and how much they take. A list of them is shown as a table.
 *
 * @param storage such as {@code nf4, blocks of 64}
 * @param relative norm of the error against the norm of the weight
 * @param largest error of one number
 * @param bits a number, absmax values included
 */
public record WeightError(String storage, double relative, double largest, double bits) {
    /** The error of {@code weight}, of any shape, in 4 bits. */
    public static WeightError of(TensorView weight, FourBitFormat format) {
        float[] exact = weight.toFloats(), back = new float[exact.length];
        try (Arena arena = Arena.ofShared()) {
            QuantizedTensor tensor = new PlainFourBitCodec().quantize(weight, format, arena);
            new PlainFourBitCodec().dequantize(tensor, 0, back.length, back, 0);
            return of(format.toString(), exact, back, 8.0 * tensor.byteSize() / exact.length);
        }
    }

    /** The error of {@code weight}, [rows, columns], in 8 bits with one absmax a row. */
    public static WeightError ofInt8(TensorView weight) {
        Int8Rows rows = Int8Rows.of(weight);
        return of("int8, rows", weight.toFloats(), rows.toFloats(), 8.0 * rows.byteSize() / rows.codes().length);
    }

    /**
     * The error of {@code readBack} against {@code exact}; 0 where both are zero.
     *
     * @throws IllegalArgumentException if they are not as many
     */
    public static WeightError of(String storage, float[] exact, float[] readBack, double bits) {
        if (exact.length != readBack.length) {
            throw new IllegalArgumentException("weight error: " + exact.length + " exact numbers, but " + readBack.length + " that were read back; they must be as many");
        }
        double squares = 0, errors = 0, largest = 0;
        for (int i = 0; i < exact.length; i++) {
            double error = (double) readBack[i] - exact[i];
            squares += (double) exact[i] * exact[i];
            errors += error * error;
            largest = Math.max(largest, Math.abs(error));
        }
        return new WeightError(storage, errors == 0 ? 0 : Math.sqrt(errors / squares), largest, bits);
    }
}
