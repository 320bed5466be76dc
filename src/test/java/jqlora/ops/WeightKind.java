package jqlora.ops;

import java.lang.foreign.Arena;
import java.util.Random;
import jqlora.quant.FourBitFormat;
import jqlora.quant.FourBitType;
import jqlora.quant.PlainFourBitCodec;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.DType;
import jqlora.tensor.TensorView;

/** What a linear layer's weight may be stored as. */
enum WeightKind {
    F32(DType.F32), F32_TRAINED(DType.F32), BF16(DType.BF16), F16(DType.F16),
    NF4(FourBitType.NF4, 64, false, DType.F32), NF4_DOUBLE(FourBitType.NF4, 64, true, DType.BF16), NF4_DOUBLE_F32(FourBitType.NF4, 128, true, DType.F32),
    FP4(FourBitType.FP4, 64, false, DType.BF16), FP4_DOUBLE(FourBitType.FP4, 32, true, DType.F32), FP4_DOUBLE_BF16(FourBitType.FP4, 64, true, DType.BF16);

    private final DType dtype;
    private final FourBitFormat format;

    WeightKind(DType dtype) {
        this.dtype = dtype;
        this.format = null;
    }

    WeightKind(FourBitType type, int blockSize, boolean doubleQuantization, DType dtype) {
        this.dtype = dtype;
        this.format = new FourBitFormat(type, blockSize, doubleQuantization, dtype);
    }

    boolean isTrained() {
        return this == F32_TRAINED;
    }

    boolean isFourBit() {
        return format != null;
    }

    /**
     * A weight on the backend, and the numbers that it stands for.
     *
     * @param gradient what lies in the gradient before; null unless the weight is trained
     */
    record Made(Weight weight, Matrix value, Matrix gradient) { }

    Made make(TestOps test, Random random, int out, int in) {
        Matrix value = Matrix.random(random, out, in).rounded(dtype);
        if (format == null) {
            Matrix gradient = isTrained() ? Matrix.random(random, out, in).rounded(DType.F32) : null;
            Parameter parameter = isTrained() ? test.trained("weight", value, gradient, out, in) : test.frozen("weight", dtype, value, out, in);
            return new Made(new Weight.Dense(parameter), value, gradient);
        }
        QuantizedTensor quantized = new PlainFourBitCodec().quantize(TensorView.ofFloats(value.toFloats(), out, in), format, Arena.ofAuto());
        float[] decoded = new float[out * in];
        new PlainFourBitCodec().dequantize(quantized, 0, decoded.length, decoded, 0);
        return new Made(test.keep(test.ops().upload(quantized)), Matrix.of(out, in, decoded), null);
    }
}
