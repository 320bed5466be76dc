package jqlora.quant;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import jqlora.Oracle;
import jqlora.format.SafetensorsFile;
import jqlora.tensor.DType;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.TensorView;
import jqlora.tensor.Workers;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Both codecs against bitsandbytes on a GPU: codes, absmax values and decoded values, byte for byte, without an exception. */
class FourBitOracleTest {
    static Stream<Path> files() {
        return Oracle.list("four_bit", "*.safetensors").stream();
    }

    @Test
    void everyKindIsThere() {
        List<String> names = files().map(path -> path.getFileName().toString()).toList();
        for (String kind : List.of("nf4_", "fp4_", "_nested", "float32", "float16", "bfloat16", "odd", "tail1", "zeros_block", "outlier", "_b4096")) {
            assertTrue(names.stream().anyMatch(name -> name.contains(kind)), "a file of kind " + kind);
        }
    }

    @ParameterizedTest
    @MethodSource("files")
    void quantizeAndDequantize(Path path) throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(path); Workers workers = new Workers(2); Arena arena = Arena.ofConfined()) {
            FourBitFormat format = new FourBitFormat(FourBitType.ofId(file.metadata().get("quant_type")), Integer.parseInt(file.metadata().get("blocksize")),
                    file.metadata().get("nested").equals("True"), DType.ofTorchName(file.metadata().get("dtype")));
            for (FourBitCodec codec : List.of(new PlainFourBitCodec(), new VectorFourBitCodec(workers))) {
                String name = path.getFileName() + ", " + codec.getClass().getSimpleName() + ": ";
                QuantizedTensor ours = codec.quantize(file.get("input"), format, arena);
                assertBytes(name + "packed", ours.codes(), file.get("packed").data());
                switch (ours.absmax()) {
                    case Absmax.Plain(var values) -> assertBytes(name + "absmax", values, file.get("absmax").data());
                    case Absmax.Nested nested -> {
                        assertBytes(name + "absmax codes", nested.codes(), file.get("absmax").data());
                        assertBytes(name + "nested absmax", nested.scales(), file.get("nested_absmax").data());
                        assertEquals(Float.floatToRawIntBits(file.get("nested_offset").toFloats()[0]), Float.floatToRawIntBits(nested.offset()), name + "offset");
                        assertArrayEquals(file.get("nested_code").toFloats(), nested.map().values(), name + "8-bit map");
                    }
                }
                assertArrayEquals(file.get("code").toFloats(), format.type().storedMap(), name + "map");
                int elements = (int) ours.shape().size();
                float[] decoded = new float[elements];
                codec.dequantize(ours, 0, elements, decoded, 0);
                MemorySegment stored = MemorySegment.ofArray(new byte[(int) format.dtype().byteSize(elements)]);
                FloatConversion.fromFloats(decoded, 0, elements, format.dtype(), stored, 0);
                assertBytes(name + "dequantized", stored, file.get("dequantized").data());
                MemorySegment whole = arena.allocate(4L * elements);
                codec.dequantize(ours, whole);
                assertArrayEquals(decoded, whole.toArray(TensorView.FLOAT), name + "the whole tensor at once");
            }
        }
    }

    private static void assertBytes(String what, MemorySegment actual, MemorySegment expected) {
        long at = actual.mismatch(expected);
        assertTrue(at < 0, () -> what + ": byte " + at + " of " + expected.byteSize() + " is " + hex(actual, at) + ", it must be " + hex(expected, at));
    }

    private static String hex(MemorySegment bytes, long at) {
        return at < bytes.byteSize() ? String.format("%02x", bytes.get(ValueLayout.JAVA_BYTE, at)) : "absent";
    }
}
