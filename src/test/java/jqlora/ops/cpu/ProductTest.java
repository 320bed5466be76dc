package jqlora.ops.cpu;

import static jqlora.Assert.assertSameBits;
import static jqlora.tensor.TensorView.FLOAT;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import jqlora.ops.Matrix;
import jqlora.ops.cpu.Product.Factor;
import jqlora.ops.cpu.Product.Target;
import jqlora.quant.FourBitFormat;
import jqlora.quant.PlainFourBitCodec;
import jqlora.quant.QuantizedTensor;
import jqlora.quant.VectorFourBitCodec;
import jqlora.tensor.DType;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.TensorView;
import jqlora.tensor.Workers;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

class ProductTest {
    private static final List<Workers> WORKERS = List.of(new Workers(1), new Workers(2), new Workers(3));
    private static final List<Product> VECTOR = WORKERS.stream().<Product>map(VectorProduct::new).toList();
    private static final Product TORCH = new TorchProduct(WORKERS.get(1));

    @AfterAll
    static void close() {
        WORKERS.forEach(Workers::close);
    }

    static Stream<ProductCase> products() {
        return ProductCase.all();
    }

    /** Against a product in double, with the same bits from every number of threads. */
    @ParameterizedTest
    @MethodSource("products")
    void vector(ProductCase c) {
        ProductCase.Check check = c.new Check();
        float[] one = check.of(VECTOR.getFirst());
        for (Product product : VECTOR) {
            assertSameBits(product.description(), check.of(product), one);
        }
    }

    @ParameterizedTest
    @MethodSource("products")
    void torch(ProductCase c) {
        c.new Check().of(TORCH);
    }

    @Tag("slow")
    @Test
    void sweep() {
        int[] rows = {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 31, 64, 65, 127}, columns = {1, 2, 4, 7, 8, 9, 15, 16, 17, 47, 48, 49, 63, 64, 65, 96, 128, 129, 257};
        int variant = 0;
        for (int m : rows) {
            for (int n : columns) {
                for (int k : new int[] {1, 2, 5, 16, 63, 129, 383, 384, 385, 769}) {
                    ProductCase.Check check = ProductCase.of(m, n, k, variant).new Check();
                    check.of(VECTOR.get(variant++ % 3));
                    check.of(TORCH);
                }
            }
        }
    }

    private static MemorySegment random(Random random, int size) {
        float[] values = new float[size];
        for (int i = 0; i < size; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return MemorySegment.ofArray(values);
    }

    private static float[] multiply(Product product, Factor a, Factor b) {
        float[] c = new float[a.rows() * b.columns()];
        product.multiply(a, b, new Target(MemorySegment.ofArray(c), 0, b.columns()), 1f, false);
        return c;
    }

    /**
     * Rows alone have the bits that they have among others, in products that are narrow and wide, from five rows on. Fewer rows times a
     * transposed factor are added in another order.
     */
    @ParameterizedTest
    @CsvSource({"5, 16, 100", "5, 64, 1000", "6, 300, 500", "9, 1, 129", "17, 70, 385"})
    void anElementDoesNotDependOnTheOthers(int rows, int n, int k) {
        Random random = new Random(n);
        int m = 40, more = 200;
        MemorySegment a = random(random, m * k), b = random(random, (n + more) * k);
        for (boolean transposed : new boolean[] {false, true}) {
            MatrixSource narrow = transposed ? new MatrixSource.Floats(b, 0, k, n, k) : new MatrixSource.Floats(b, 0, n + more, k, n);
            MatrixSource wide = transposed ? new MatrixSource.Floats(b, 0, k, n + more, k) : new MatrixSource.Floats(b, 0, n + more, k, n + more);
            for (Product product : VECTOR) {
                Matrix all = Matrix.of(m, n + more, multiply(product, Factor.of(new MatrixSource.Floats(a, 0, k, m, k)), new Factor(wide, transposed)));
                for (int first : new int[] {0, 1, m - rows}) {
                    Factor part = Factor.of(new MatrixSource.Floats(a, (long) first * k, k, rows, k));
                    assertSameBits("rows from " + first, multiply(product, part, new Factor(narrow, transposed)),
                            all.rows(first, rows).columns(0, n).toFloats());
                }
            }
        }
    }

    /** What is not float32 is read as the float32 that it stands for; parts of a stack as if they were one. */
    @ParameterizedTest
    @CsvSource({"3, 70", "17, 63", "64, 128", "5, 1"})
    void sources(int n, int k) {
        Random random = new Random(k);
        MemorySegment a = random(random, 9 * k), numbers = random(random, n * k);
        float[] halves = numbers.toArray(FLOAT), decoded = new float[n * k];
        MemorySegment bytes = MemorySegment.ofArray(new byte[2 * n * k]);
        FloatConversion.fromFloats(halves, 0, n * k, DType.BF16, bytes, 0);
        FloatConversion.toFloats(DType.BF16, bytes, 0, halves, 0, n * k);
        FourBitFormat format = FourBitFormat.defaults().withDtype(DType.F16);
        QuantizedTensor quantized = new PlainFourBitCodec().quantize(TensorView.ofFloats(numbers.toArray(FLOAT), n, k), format, Arena.ofAuto());
        new PlainFourBitCodec().dequantize(quantized, 0, n * k, decoded, 0);

        MatrixSource plain = new MatrixSource.Floats(MemorySegment.ofArray(halves), 0, k, n, k), half = new MatrixSource.Halves(DType.BF16, bytes, n, k);
        MatrixSource decodedPlain = new MatrixSource.Floats(MemorySegment.ofArray(decoded), 0, k, n, k);
        MatrixSource fourBit = new MatrixSource.FourBit(quantized, new VectorFourBitCodec(WORKERS.getFirst()));
        float[] joined = java.util.Arrays.copyOf(halves, 2 * n * k);
        System.arraycopy(decoded, 0, joined, n * k, n * k);
        MatrixSource both = new MatrixSource.Floats(MemorySegment.ofArray(joined), 0, k, 2 * n, k);
        for (Product product : List.of(VECTOR.getFirst(), VECTOR.getLast(), TORCH)) {
            for (int rows : new int[] {1, 9}) {
                Factor left = Factor.of(new MatrixSource.Floats(a, 0, k, rows, k)), right = Factor.of(new MatrixSource.Floats(a, 0, n, 5, n));
                assertSameBits("halves", multiply(product, left, Factor.transposed(half)), multiply(product, left, Factor.transposed(plain)));
                assertSameBits("4 bits", multiply(product, left, Factor.transposed(fourBit)), multiply(product, left, Factor.transposed(decodedPlain)));
                assertSameBits("stacked", multiply(product, left, Factor.transposed(MatrixSource.Stacked.of(List.of(half, fourBit)))),
                        multiply(product, left, Factor.transposed(both)));
                if (5 * n <= 9 * k) {
                    assertSameBits("4 bits, not transposed", multiply(product, right, Factor.of(fourBit)), multiply(product, right, Factor.of(decodedPlain)));
                }
            }
        }
        assertEquals(half, MatrixSource.Stacked.of(List.of(half)));
        assertThrows(IndexOutOfBoundsException.class, () -> MatrixSource.Stacked.of(List.of(half, fourBit)).read(2 * n, 0, 1, new float[1], 0));
    }

    @Test
    void descriptionsNameTheEngine() {
        assertTrue(VECTOR.get(2).description().matches("Vector API, (128|256|512) bits, 3 threads"), VECTOR.get(2).description());
        assertTrue(TORCH.description().matches("PyTorch \\d+\\.\\d+\\.\\d+"), TORCH.description());
    }
}
