package jqlora.ops.cpu;

import static jqlora.Assert.assertSameBits;
import static jqlora.tensor.TensorView.FLOAT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import jdk.incubator.vector.FloatVector;
import jqlora.ops.Calls;
import jqlora.ops.LinearWeights;
import jqlora.ops.Parameter;
import jqlora.ops.Weight;
import jqlora.ops.cpu.Product.Factor;
import jqlora.ops.cpu.Product.Target;
import jqlora.quant.FourBitCodec;
import jqlora.quant.FourBitFormat;
import jqlora.quant.FourBitType;
import jqlora.quant.PlainFourBitCodec;
import jqlora.quant.QuantizedTensor;
import jqlora.quant.VectorFourBitCodec;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;
import jqlora.tensor.Workers;

/** What {@code OtherJvmTest} runs in JVMs that were started in another way. Ends with an exception where something is wrong. */
final class OtherJvm {
    private OtherJvm() { }

    public static void main(String[] args) {
        switch (args[0]) {
            case "vectors" -> vectors();
            case "no module" -> withoutModule();
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    /** Products, row arithmetic and codec on vectors of this JVM's width, first before anything is compiled, then after. */
    private static void vectors() {
        Workers workers = new Workers(2);
        Product product = new VectorProduct(workers);
        RowMath math = new VectorRowMath();
        float[] cold = results(product, math);
        ProductCase.all().filter(c -> (long) c.m() * c.n() * c.k() < 100_000).forEach(c -> c.new Check().of(product));
        for (int i = 0; i < 1000; i++) {
            results(product, math);
        }
        assertSameBits("the same call, now compiled", results(product, math), cold);
        codecs(workers);
        System.out.println("vectors of " + FloatVector.SPECIES_PREFERRED.vectorBitSize() + " bits: sound, codec "
                + FourBitCodec.fastest(workers).getClass().getSimpleName() + ", products " + products());
        workers.close();
    }

    /** Of the bits of products of every shape that is read in order, rows and columns over the edges of tiles among them. */
    static String products() {
        int hash = 1;
        try (Workers workers = new Workers(2)) {
            Product product = new VectorProduct(workers);
            Random random = new Random(3);
            for (int[] shape : new int[][] {{5, 7, 20}, {12, 16, 385}, {13, 64, 400}, {31, 70, 900}, {48, 200, 33}}) {
                int m = shape[0], n = shape[1], k = shape[2];
                for (int variant = 0; variant < 4; variant++) {
                    boolean left = variant % 2 == 1, right = variant / 2 == 1;
                    Factor a = new Factor(new MatrixSource.Floats(random(random, m * k), 0, left ? m : k, left ? k : m, left ? m : k), left);
                    Factor b = new Factor(new MatrixSource.Floats(random(random, n * k), 0, right ? k : n, right ? n : k, right ? k : n), right);
                    float[] c = random(random, m * n).toArray(FLOAT);
                    product.multiply(a, b, new Target(MemorySegment.ofArray(c), 0, n), 0.7f, true);
                    hash = 31 * hash + Arrays.hashCode(c);
                }
            }
        }
        return Integer.toHexString(hash);
    }

    private static float[] results(Product product, RowMath math) {
        int k = 301, n = 40, m = 9, at = 0;
        float[] out = new float[4 * n + m * n + k + 4];
        Random random = new Random(1);
        MemorySegment a = random(random, m * k), b = random(random, n * k), c = MemorySegment.ofArray(out);
        MatrixSource right = new MatrixSource.Floats(b, 0, k, n, k);
        product.multiply(Factor.of(new MatrixSource.Floats(a, 0, k, 4, k)), Factor.transposed(right), new Target(c, at, n), 1f, false);
        at += 4 * n;
        product.multiply(Factor.of(new MatrixSource.Floats(a, 0, k, m, k)), Factor.transposed(right), new Target(c, at, n), 1f, false);
        at += m * n;
        MemorySegment.copy(a, 0, c, at * 4L, k * 4L);
        out[at + k] = math.softmax(c, at, k, 0.7f);
        out[at + k + 1] = math.dot(a, 0, b, 0, k);
        return out;
    }

    private static MemorySegment random(Random random, int size) {
        float[] values = new float[size];
        for (int i = 0; i < size; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return MemorySegment.ofArray(values);
    }

    private static void codecs(Workers workers) {
        float[] weight = random(new Random(2), 37 * 65).toArray(FLOAT);
        for (FourBitType type : FourBitType.values()) {
            for (DType dtype : List.of(DType.F32, DType.BF16, DType.F16)) {
                FourBitFormat format = FourBitFormat.defaults().withType(type).withDtype(dtype);
                TensorView view = TensorView.ofFloats(weight, 37, 65);
                QuantizedTensor plain = new PlainFourBitCodec().quantize(view, format, Arena.ofAuto());
                QuantizedTensor vector = new VectorFourBitCodec(workers).quantize(view, format, Arena.ofAuto());
                if (plain.codes().mismatch(vector.codes()) != -1) {
                    throw new AssertionError("codes of " + format + " differ at byte " + plain.codes().mismatch(vector.codes()));
                }
                float[] expected = new float[1000], actual = new float[1000];
                new PlainFourBitCodec().dequantize(plain, 3, 999, expected, 1);
                new VectorFourBitCodec(workers).dequantize(plain, 3, 999, actual, 1);
                assertSameBits("decoded " + format, actual, expected);
            }
        }
    }

    /** A JVM that was started without the Vector API's module falls back to PyTorch. */
    private static void withoutModule() {
        try (CpuOps ops = CpuOps.create(2)) {
            Tensor weight = ops.upload(TensorView.ofFloats(new float[] {1, 2, 3, 4, 5, 6}, 2, 3)), x = ops.upload(TensorView.ofFloats(new float[] {1, 0, -1}, 1, 3));
            LinearWeights linear = new LinearWeights(new Weight.Dense(Parameter.frozen("weight", weight)), null, null);
            float[] y = ops.download(Calls.linear(ops, x, List.of(linear), null, 0)).toFloats();
            assertSameBits("linear", y, new float[] {-2, -2});
            QuantizedTensor quantized = new PlainFourBitCodec().quantize(TensorView.ofFloats(y, 1, 2), FourBitFormat.defaults(), Arena.ofAuto());
            Tensor decoded = ops.toFloat(ops.upload(quantized));
            if (!decoded.shape().equals(Shape.of(1, 2))) {
                throw new AssertionError(decoded);
            }
            System.out.println(ops.description() + ": sound");
        }
    }
}
