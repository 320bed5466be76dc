package jqlora.ops.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import jqlora.ops.Calls;
import jqlora.Oracle;
import jqlora.format.SafetensorsFile;
import jqlora.ops.LinearWeights;
import jqlora.ops.Weight;
import jqlora.quant.Absmax;
import jqlora.quant.FourBitFormat;
import jqlora.quant.FourBitType;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.DType;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Encoding and decoding on the device against bitsandbytes, byte for byte, without an exception. */
@Tag("gpu")
class FourBitCudaTest {
    private static CudaOps ops;

    @BeforeAll
    static void open() {
        ops = CudaOps.open(Gpu.options());
    }

    @AfterAll
    static void close() {
        assertEquals(0, ops.memory().bytesInUse(), "bytes in use after all is closed");
        ops.close();
    }

    static Stream<Path> files() {
        return Oracle.list("four_bit", "*.safetensors").stream();
    }

    @ParameterizedTest
    @MethodSource("files")
    void quantizeAndDequantize(Path path) throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            FourBitFormat format = new FourBitFormat(FourBitType.ofId(file.metadata().get("quant_type")), Integer.parseInt(file.metadata().get("blocksize")),
                    file.metadata().get("nested").equals("True"), DType.ofTorchName(file.metadata().get("dtype")));
            TensorView input = file.get("input");
            int elements = (int) input.shape().size();
            try (Weight.FourBit weight = ops.quantize(new TensorView(input.dtype(), Shape.of(1, elements), input.data()), format)) {
                QuantizedTensor ours = ops.download(weight);
                assertBytes("packed", ours.codes(), file.get("packed").data());
                switch (ours.absmax()) {
                    case Absmax.Plain(var values) -> assertBytes("absmax", values, file.get("absmax").data());
                    case Absmax.Nested nested -> {
                        assertBytes("absmax codes", nested.codes(), file.get("absmax").data());
                        assertBytes("nested absmax", nested.scales(), file.get("nested_absmax").data());
                        assertEquals(Float.floatToRawIntBits(file.get("nested_offset").toFloats()[0]), Float.floatToRawIntBits(nested.offset()), "offset");
                    }
                }
                try (Tensor decoded = ops.toFloat(weight)) {
                    MemorySegment stored = MemorySegment.ofArray(new byte[(int) format.dtype().byteSize(elements)]);
                    FloatConversion.fromFloats(ops.download(decoded).toFloats(), 0, elements, format.dtype(), stored, 0);
                    assertBytes("dequantized", stored, file.get("dequantized").data());
                }
            }
        }
    }

    /** Both kernels that decode for a product: the product with the unit matrix is the decoded weight, rounded to bfloat16. */
    @ParameterizedTest
    @MethodSource("files")
    void decodedForAProduct(Path path) throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            TensorView input = file.get("input");
            for (int columns : new int[] {8, 24, 7, 64}) {
                int rows = (int) Math.min(200, input.shape().size() / columns);
                if (rows == 0) {
                    continue;
                }
                FourBitFormat format = FourBitFormat.defaults().withType(FourBitType.ofId(file.metadata().get("quant_type")))
                        .withBlockSize(Integer.parseInt(file.metadata().get("blocksize"))).withDtype(input.dtype());
                float[] unit = new float[columns * columns];
                for (int i = 0; i < columns; i++) {
                    unit[i * columns + i] = 1;
                }
                MemorySegment bits = MemorySegment.ofArray(new byte[2 * unit.length]);
                FloatConversion.fromFloats(unit, 0, unit.length, DType.BF16, bits, 0);
                TensorView part = new TensorView(input.dtype(), Shape.of(rows, columns), input.data().asSlice(0, input.dtype().byteSize((long) rows * columns)));
                try (Weight.FourBit weight = ops.quantize(part, format); Tensor x = ops.upload(new TensorView(DType.BF16, Shape.of(columns, columns), bits));
                        Tensor decoded = ops.toFloat(weight); Tensor y = Calls.linear(ops, x, List.of(new LinearWeights(weight, null, null)), null, 0)) {
                    float[] expected = ops.download(decoded).toFloats(), actual = ops.download(y).toFloats();
                    for (int i = 0; i < expected.length; i++) {
                        assertEquals(FloatConversion.round(expected[i], DType.BF16), actual[i % columns * rows + i / columns], 0f, "element " + i + " of " + rows + " x " + columns);
                    }
                }
            }
        }
    }

    private static void assertBytes(String what, MemorySegment actual, MemorySegment expected) {
        long at = actual.mismatch(expected);
        assertTrue(at < 0, () -> what + ": byte " + at + " of " + expected.byteSize() + " differs");
    }
}
