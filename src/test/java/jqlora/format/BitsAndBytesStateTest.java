package jqlora.format;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import jqlora.Oracle;
import jqlora.Peers;
import jqlora.quant.Absmax;
import jqlora.quant.DynamicMap;
import jqlora.quant.PlainFourBitCodec;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class BitsAndBytesStateTest {
    private static final String WEIGHT = "linear.weight";

    @TempDir
    Path temp;

    @Test
    void aLinearIsReadAndWrittenByteForByte() throws IOException {
        for (Path path : Oracle.list("bnb_linear", "{nf4,fp4}*.safetensors")) {
            try (SafetensorsFile file = SafetensorsFile.open(path)) {
                assertTrue(BitsAndBytesState.isFourBit(file, WEIGHT));
                QuantizedTensor tensor = BitsAndBytesState.read(file, WEIGHT);
                String name = path.getFileName().toString();
                assertEquals(name.substring(0, 3), tensor.format().type().id());
                assertEquals(name.contains("nested"), tensor.absmax() instanceof Absmax.Nested);
                assertEquals(Shape.of(80, 96), tensor.shape());
                assertEquals(DType.BF16, tensor.format().dtype());
                assertSame(file, sources(WEIGHT, tensor));
                QuantizedTensor again = new PlainFourBitCodec().quantize(file.get("original_weight"), tensor.format(), Arena.ofAuto());
                assertSame(file, sources(WEIGHT, again));
            }
        }
    }

    private static void assertSame(SafetensorsFile file, List<TensorSource> sources) throws IOException {
        List<String> expected = file.names().stream().filter(name -> name.startsWith(WEIGHT)).sorted().toList();
        assertEquals(expected, sources.stream().map(TensorSource::name).sorted().toList());
        for (TensorSource source : sources) {
            TensorView stored = file.get(source.name());
            assertEquals(stored.toString(), source.dtype() + " " + source.shape());
            source.content().writeTo(bytes -> assertEquals(-1, stored.data().mismatch(bytes), file.path() + " " + source.name()));
        }
    }

    @Test
    void aCheckpointOfTransformersIsRewrittenByteForByte() throws IOException {
        Path folder = Oracle.fixture("format/bnb_checkpoint");
        rewrite(folder);
        assertEquals(-1, Files.mismatch(folder.resolve("model.safetensors"), temp.resolve("model.safetensors")));
    }

    @Test
    @Tag("peers")
    void transformersLoadsWhatIsWritten() throws Exception {
        Path folder = Oracle.fixture("format/bnb_checkpoint");
        rewrite(folder);
        HfConfig.parse("config.json", Files.readString(folder.resolve("config_before.json")))
                .withQuantization(HfConfig.read(folder).quantization().orElseThrow()).write(temp);
        String printed = Peers.run("format/bnb_load.py", temp, folder);
        assertTrue(printed.contains("47 equal"), printed);
    }

    private void rewrite(Path folder) throws IOException {
        List<TensorSource> sources = new ArrayList<>();
        try (Checkpoint checkpoint = Checkpoint.open(folder)) {
            List<String> parameters = BitsAndBytesState.parameters(checkpoint);
            assertEquals(12, parameters.size());
            for (String name : parameters) {
                if (BitsAndBytesState.isFourBit(checkpoint, name)) {
                    sources.addAll(sources(name, BitsAndBytesState.read(checkpoint, name)));
                } else {
                    sources.add(TensorSource.of(name, checkpoint.get(name)));
                }
            }
            CheckpointWriter.write(temp, sources, CheckpointWriter.MAX_SHARD_BYTES, 1);
        }
    }

    @Test
    void otherWeightsAreRefusedByKind() throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(Oracle.path("bnb_linear/int8.safetensors"))) {
            assertFalse(BitsAndBytesState.isFourBit(file, WEIGHT));
            assertFails(SafetensorsException.class, () -> BitsAndBytesState.read(file, WEIGHT),
                    "int8.safetensors: tensor \"linear.weight\": is in LLM.int8's 8 bits (I8 [80, 96], with SCB), which are not read yet");
            assertFails(SafetensorsException.class, () -> BitsAndBytesState.read(file, "original_weight"), "is F16 [80, 96] without quant_state.bitsandbytes__nf4");
            assertFails(SafetensorsException.class, () -> BitsAndBytesState.read(file, "linear.weigh"), "is not there; near it: \"linear.weight\"");
        }
    }

    @Test
    void faultsNameThePart() throws IOException {
        fails(Map.of("linear.weight.absmax", TensorView.ofFloats(new float[3], 3)), "linear.weight.absmax\": is F32 [3], it must be U8");
        fails(Map.of("linear.weight.nested_absmax", bytes(4)), "linear.weight.nested_absmax\": is U8 [4], it must be F32");
        fails(Map.of("linear.weight.nested_absmax", TensorView.ofFloats(new float[2], 2)), "tensor \"linear.weight\": 4-bit tensor [80, 96]: nested_absmax has 8 bytes, it must have 4");
        fails(Map.of("linear.weight.absmax", bytes(119)), "absmax has 119 bytes, it must have 120");
        fails(Map.of(WEIGHT, bytes(3839)), "codes has 3839 bytes, it must have 3840");
        fails(Map.of("linear.weight.quant_map", TensorView.ofFloats(new float[16], 16)), "linear.weight.quant_map\": does not hold the 16 values of nf4");
        fails(Map.of("linear.weight.quant_map", TensorView.ofFloats(new float[15], 15)), "does not hold the 16 values of nf4");
        fails(Map.of("linear.weight.nested_quant_map", TensorView.ofFloats(new float[255], 255)), "tensor \"linear.weight\": ", "1020 bytes, but F32 [256] needs 1024");
        state("\"nf4\"", "\"fp4\"", "bitsandbytes__nf4\": quant_type is \"fp4\", it must be \"nf4\"");
        state("\"blocksize\": 64", "\"blocksize\": 65", "blockSize is 65, it must be a power of two");
        state("\"blocksize\": 64", "\"blocksize\": \"64\"", "blocksize is \"64\", it must be a positive integer");
        state("\"bfloat16\"", "\"int8\"", "dtype is I8, it must be F32, F16 or BF16");
        state("\"bfloat16\"", "\"x\"", "dtype is \"x\", it must be one of");
        state("[80, 96]", "[80, -96]", "dimension -96 must not be negative");
        state("[80, 96]", "[80.0, 96]", "shape[0] is 80.0, it must be an integer");
        state("\"nested_blocksize\": 256", "\"nested_blocksize\": 128", "nested_blocksize is 128, it must be 256");
        state("\"float32\"", "\"float16\"", "nested_dtype is \"float16\", it must be \"float32\"");
        state("\"nested_offset\"", "\"nested\"", "nested_offset is missing, it must be a number");
        state("}", "", "tensor \"linear.weight.quant_state.bitsandbytes__nf4\": is not JSON");
        try (SafetensorsFile file = with(Map.of())) {
            assertInstanceOf(Absmax.Nested.class, BitsAndBytesState.read(file, WEIGHT).absmax());
        }
    }

    private static TensorView bytes(int count) {
        return new TensorView(DType.U8, Shape.of(count), MemorySegment.ofArray(new byte[count]));
    }

    private void state(String text, String replacement, String... parts) throws IOException {
        String name = WEIGHT + ".quant_state.bitsandbytes__nf4";
        try (SafetensorsFile file = SafetensorsFile.open(Oracle.path("bnb_linear/nf4_nested.safetensors"))) {
            byte[] json = new String(file.get(name).data().toArray(TensorView.BYTE), StandardCharsets.UTF_8).replace(text, replacement).getBytes(StandardCharsets.UTF_8);
            fails(Map.of(name, new TensorView(DType.U8, Shape.of(json.length), MemorySegment.ofArray(json))), parts);
        }
    }

    private void fails(Map<String, TensorView> changed, String... parts) throws IOException {
        try (SafetensorsFile file = with(changed)) {
            assertFails(IOException.class, () -> BitsAndBytesState.read(file, WEIGHT), parts);
        }
    }

    /** nf4_nested.safetensors with some of its tensors replaced. */
    private SafetensorsFile with(Map<String, TensorView> changed) throws IOException {
        Path path = temp.resolve("changed.safetensors");
        try (SafetensorsFile file = SafetensorsFile.open(Oracle.path("bnb_linear/nf4_nested.safetensors"))) {
            Map<String, TensorView> tensors = new LinkedHashMap<>();
            for (String name : file.names()) {
                tensors.put(name, changed.getOrDefault(name, file.get(name)));
            }
            SafetensorsWriter.write(path, tensors.entrySet().stream().map(e -> TensorSource.of(e.getKey(), e.getValue())).toList(), Map.of());
        }
        return SafetensorsFile.open(path);
    }

    private static List<TensorSource> sources(String weight, QuantizedTensor tensor) {
        BitsAndBytesState.Parts parts = switch (tensor.absmax()) {
            case Absmax.Plain(var values) -> new BitsAndBytesState.Parts(sink -> sink.write(tensor.codes()), sink -> sink.write(values), null, 0f, null);
            case Absmax.Nested(var codes, var scales, float offset, DynamicMap map) -> new BitsAndBytesState.Parts(sink -> sink.write(tensor.codes()), sink -> sink.write(codes),
                    sink -> sink.write(scales), offset, map);
        };
        return BitsAndBytesState.sources(weight, tensor.format(), tensor.shape(), parts);
    }
}
