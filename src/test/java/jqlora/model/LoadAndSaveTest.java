package jqlora.model;

import static jqlora.Assert.assertClose;
import static jqlora.Assert.assertFails;
import static jqlora.Assert.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.stream.Stream;
import jqlora.Oracle;
import jqlora.TinyModel;
import jqlora.format.Checkpoint;
import jqlora.format.CheckpointWriter;
import jqlora.format.HfConfig;
import jqlora.format.SafetensorsException;
import jqlora.format.SafetensorsFile;
import jqlora.format.SafetensorsWriter;
import jqlora.format.TensorSource;
import jqlora.lora.LoraAdapter;
import jqlora.lora.LoraConfig;
import jqlora.ops.Parameter;
import jqlora.ops.Sequences;
import jqlora.ops.Weight;
import jqlora.ops.cpu.CpuOps;
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
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** What a folder must hold to be loaded, and that what is saved is what is loaded. */
class LoadAndSaveTest {
    private static final String K = "model.layers.1.self_attn.k_proj.weight", NORM = "model.norm.weight";

    private static CpuOps ops;

    @TempDir
    private static Path shared;
    private static Path source;

    @TempDir
    private Path folder;

    @BeforeAll
    static void open() throws IOException {
        ops = CpuOps.create();
        source = TinyModel.llama().writeWithTokenizer(shared.resolve("model"), DType.F32, 1, ops);
    }

    @AfterAll
    static void close() {
        assertEquals(0, ops.memory().bytesInUse(), "bytes in use after all models, also those that did not come to be");
        ops.close();
    }

    private static CausalLm load(Path from, LoadOptions options) throws IOException {
        return ModelLoader.load(from, options, ops, LoadListener.SILENT);
    }

    private static float[] logits(CausalLm model) {
        try (Tensor logits = model.logits(new int[] {3, 14, 15, 92, 65}, Sequences.ofLengths(5))) {
            return ops.download(logits).toFloats();
        }
    }

    private static List<String> files(Path folder) throws IOException {
        try (Stream<Path> children = Files.list(folder)) {
            return children.map(child -> child.getFileName().toString()).sorted().toList();
        }
    }

    // ---- strictness

    /** The source's tensors, changed one by one: another in its place, or null to leave it out. */
    private Path changed(Function<TensorSource, TensorSource> change, TensorSource... more) throws IOException {
        HfConfig.read(source).write(folder);
        try (SafetensorsFile file = SafetensorsFile.open(source.resolve("model.safetensors"))) {
            List<TensorSource> tensors = new ArrayList<>(List.of(more));
            for (String name : file.names()) {
                TensorSource tensor = change.apply(TensorSource.of(name, file.get(name)));
                if (tensor != null) {
                    tensors.add(tensor);
                }
            }
            SafetensorsWriter.write(folder.resolve("model.safetensors"), tensors, SafetensorsWriter.PT);
        }
        return folder;
    }

    private static TensorSource zeros(String name, DType dtype, long... dims) {
        Shape shape = Shape.of(dims);
        return TensorSource.of(name, new TensorView(dtype, shape, MemorySegment.ofArray(new byte[(int) dtype.byteSize(shape.size())])));
    }

    static Stream<Arguments> damages() {
        return Stream.of(damage(K, null, "tensor \"" + K + "\": is not there; near it: \""), damage(NORM, null, "tensor \"" + NORM + "\": is not there"),
                damage(K, zeros(K, DType.F32, 64, 32), "tensor \"" + K + "\": has shape [64, 32], by config.json it must be [32, 64]"),
                damage(K, zeros(K, DType.F32, 32, 65), "has shape [32, 65], by config.json it must be [32, 64]"),
                damage(K, zeros(K, DType.F32, 32 * 64), "has shape [2048], by config.json it must be [32, 64]"),
                damage(NORM, zeros(NORM, DType.F32, 1, 64), "has shape [1, 64], by config.json it must be [64]"),
                damage(K, zeros(K, DType.I64, 32, 64), "tensor \"" + K + "\": is I64, a weight must be F32, BF16 or F16"),
                damage(NORM, zeros(NORM, DType.F64, 64), "tensor \"" + NORM + "\": is F64, a weight must be F32, BF16 or F16"));
    }

    private static Arguments damage(String name, TensorSource instead, String message) {
        return Arguments.of(name, instead, message);
    }

    /** One error, that names folder, tensor and both values; with and without quantization, and no memory is kept. */
    @ParameterizedTest
    @MethodSource("damages")
    void oneTensorMissingOrOther(String name, TensorSource instead, String message) throws IOException {
        changed(tensor -> tensor.name().equals(name) ? instead : tensor);
        for (LoadOptions options : List.of(LoadOptions.asStored(), LoadOptions.defaults(), LoadOptions.fullFineTuning())) {
            long before = ops.memory().bytesInUse();
            assertFails(SafetensorsException.class, () -> load(folder, options), folder.toString(), message);
            assertEquals(before, ops.memory().bytesInUse(), "bytes in use after a load that failed");
        }
    }

    @Test
    void tensorsTooMany() throws IOException {
        changed(tensor -> tensor, zeros("model.layers.2.mlp.up_proj.weight", DType.F32, 112, 64), zeros("model.layers.0.self_attn.q_proj.bias", DType.F32, 64));
        assertFails(SafetensorsException.class, () -> load(folder, LoadOptions.defaults()), folder.toString(), "2 tensors are not part of a llama model with this config.json, such as ",
                "model.layers.2.mlp.up_proj.weight", "model.layers.0.self_attn.q_proj.bias");
    }

    /** Old checkpoints have the frequencies of the rotation, and a tied model may have its head twice; both follow from the rest. */
    @Test
    void tensorsThatMayBeThere() throws IOException {
        changed(tensor -> tensor, zeros("model.layers.0.self_attn.rotary_emb.inv_freq", DType.F32, 8));
        load(folder, LoadOptions.asStored()).close();
        HfConfig.read(source).with("tie_word_embeddings", true).write(folder);
        load(folder, LoadOptions.asStored()).close();
    }

    @Test
    void optionsThatContradictThemselves() {
        assertFails(IllegalArgumentException.class, () -> LoadOptions.asStored().withDtype(DType.I32), "load: dtype is I32, it must be F32, BF16 or F16");
        assertFails(IllegalArgumentException.class, () -> LoadOptions.fullFineTuning().withDtype(DType.BF16), "full fine-tuning needs dtype F32 and no quantization, not BF16 and null");
        assertFails(IllegalArgumentException.class, () -> LoadOptions.fullFineTuning().withQuantization(FourBitFormat.defaults()), "not F32 and nf4, blocks of 64, double quantization");
    }

    // ---- saving

    @ParameterizedTest
    @EnumSource(names = {"F32", "BF16", "F16"})
    void numbersComeBack(DType dtype) throws IOException {
        float[] expected, asLoaded;
        try (CausalLm model = load(source, LoadOptions.asStored()); CausalLm rounded = load(source, LoadOptions.asStored().withDtype(dtype))) {
            new ModelWriter(source, dtype).write(model, folder);
            expected = logits(rounded);
        }
        try (CausalLm model = load(folder, LoadOptions.asStored()); SafetensorsFile before = SafetensorsFile.open(source.resolve("model.safetensors"));
                SafetensorsFile after = SafetensorsFile.open(folder.resolve("model.safetensors"))) {
            asLoaded = logits(model);
            assertEquals(new TreeSet<>(before.names()), new TreeSet<>(after.names()));
            for (String name : before.names()) {
                assertEquals(dtype, after.get(name).dtype(), name);
                float[] values = before.get(name).toFloats();
                for (int i = 0; i < values.length; i++) {
                    values[i] = FloatConversion.round(values[i], dtype);
                }
                assertSameBits(name, after.get(name).toFloats(), values);
            }
        }
        assertSameBits("logits", asLoaded, expected);
        assertEquals(HfConfig.read(source).withDtype(dtype).values().toMap(), HfConfig.read(folder).values().toMap());
        assertEquals(files(source), files(folder), "the tokenizer's files too, and no leftovers");
        assertArrayEquals(Files.readAllBytes(source.resolve("tokenizer.json")), Files.readAllBytes(folder.resolve("tokenizer.json")));
    }

    static Stream<FourBitFormat> formats() {
        return Stream.of(FourBitFormat.defaults(), FourBitFormat.defaults().withType(FourBitType.FP4).withDoubleQuantization(false), FourBitFormat.defaults().withBlockSize(128));
    }

    /** The same codes, the same logits to the bit, with one kind of layer left as numbers; and loading asks for no quantization again. */
    @ParameterizedTest
    @MethodSource("formats")
    void fourBitsComeBack(FourBitFormat format) throws IOException {
        float[] expected;
        List<QuantizedTensor> codes = new ArrayList<>();
        try (CausalLm model = load(source, LoadOptions.defaults().withQuantization(format).withSkipModules(List.of("down_proj")))) {
            expected = logits(model);
            model.linears().values().forEach(linear -> addCodes(linear, codes));
            assertEquals(12, codes.size(), "seven linear layers in each of two, without down_proj");
            new ModelWriter(source, DType.F32).write(model, folder);
        }
        for (LoadOptions options : List.of(LoadOptions.asStored(), LoadOptions.defaults().withQuantization(FourBitFormat.defaults()).withSkipModules(List.of("down_proj")))) {
            try (CausalLm model = load(folder, options)) {
                assertSameBits("logits", logits(model), expected);
                List<QuantizedTensor> again = new ArrayList<>();
                model.linears().values().forEach(linear -> addCodes(linear, again));
                assertEquals(codes.size(), again.size());
                for (int i = 0; i < codes.size(); i++) {
                    assertEquals(codes.get(i).format(), again.get(i).format());
                    assertEquals(-1, codes.get(i).codes().mismatch(again.get(i).codes()), "codes of weight " + i);
                }
            }
        }
        assertTrue(Files.readString(folder.resolve("config.json")).contains("\"load_in_4bit\": true"));
        try (CausalLm model = load(folder, LoadOptions.asStored())) {
            Path dense = Files.createDirectories(folder.resolve("dense"));
            assertFails(IOException.class, () -> new ModelWriter(folder, DType.F32).write(model, folder), folder + ": is the folder that the model was loaded from, it must be another one");
            assertTrue(files(dense).isEmpty());
        }
    }

    private static void addCodes(Linear linear, List<QuantizedTensor> codes) {
        if (linear.weight() instanceof Weight.FourBit fourBit) {
            codes.add(ops.download(fourBit));
        }
    }

    /** A tied head is there once, a norm with its bias where it has one. */
    @ParameterizedTest
    @MethodSource("jqlora.model.FamiliesTest#families")
    void everyTensorOfEveryFamilyIsWrittenAsItWasRead(Path family) throws IOException {
        try (CausalLm model = load(family, LoadOptions.asStored())) {
            new ModelWriter(family, DType.F32).write(model, folder);
        }
        try (SafetensorsFile before = SafetensorsFile.open(family.resolve("model.safetensors")); SafetensorsFile after = SafetensorsFile.open(folder.resolve("model.safetensors"))) {
            assertEquals(new TreeSet<>(before.names()), new TreeSet<>(after.names()));
            for (String name : before.names()) {
                assertSameBits(name, after.get(name).toFloats(), before.get(name).toFloats());
            }
        }
    }

    @Test
    void shardsAreLoadedAsOneFile() throws IOException {
        HfConfig.read(source).write(folder);
        try (SafetensorsFile file = SafetensorsFile.open(source.resolve("model.safetensors"))) {
            List<TensorSource> tensors = new ArrayList<>();
            for (String name : file.names()) {
                tensors.add(TensorSource.of(name, file.get(name)));
            }
            CheckpointWriter.write(folder, tensors, 40_000, 1);
        }
        assertTrue(files(folder).stream().filter(name -> name.startsWith("model-0")).count() > 3, "shards: " + files(folder));
        try (CausalLm sharded = load(folder, LoadOptions.defaults()); CausalLm whole = load(source, LoadOptions.defaults())) {
            assertSameBits("logits", logits(sharded), logits(whole));
        }
        Files.delete(folder.resolve(files(folder).stream().filter(name -> name.startsWith("model-00002")).findFirst().orElseThrow()));
        assertFails(SafetensorsException.class, () -> load(folder, LoadOptions.defaults()), "model-00002");
    }

    /** Refused before anything is made. */
    @Test
    void modelsThatAreNotSaved() throws IOException {
        Path target = folder.resolve("target");
        assertFails(IllegalArgumentException.class, () -> new ModelWriter(source, DType.I32), "save: dtype is I32, it must be F32, BF16 or F16");
        try (CausalLm model = load(source, LoadOptions.defaults()); LoraAdapter adapter = LoraAdapter.create(model, LoraConfig.defaults().withR(2).withTargetModules("v_proj"), 1)) {
            assertFails(IllegalArgumentException.class, () -> new ModelWriter(source, DType.BF16).write(model, target), "save: model.layers.0.self_attn.v_proj has an adapter in force");
            assertFalse(Files.exists(target));
            adapter.detach();
            new ModelWriter(source, DType.BF16).write(model, target);
        }
        assertTrue(Files.exists(target.resolve("config.json")));
    }

    // ---- random weights

    @Test
    void randomWeightsAreThoseOfTheirSeed() throws IOException {
        TinyModel tiny = TinyModel.llama().with("attention_bias", true);
        try (CausalLm one = tiny.open(ops, 5); CausalLm same = tiny.open(ops, 5); CausalLm other = tiny.open(ops, 6)) {
            for (int i = 0; i < one.parameters().size(); i++) {
                Parameter parameter = one.parameters().get(i);
                float[] values = ops.download(parameter.value()).toFloats();
                assertSameBits(parameter.name(), ops.download(same.parameters().get(i).value()).toFloats(), values);
                boolean matrix = parameter.value().shape().rank() == 2;
                assertEquals(matrix, !Arrays.equals(values, ops.download(other.parameters().get(i).value()).toFloats()), parameter.name() + " of another seed");
                if (matrix) {
                    double squares = 0;
                    for (float value : values) {
                        squares += value * value;
                    }
                    assertClose("standard deviation of " + parameter.name(), Math.sqrt(squares / values.length), 0.15, 5 / Math.sqrt(2.0 * values.length), 0);
                } else {
                    for (float value : values) {
                        assertEquals(parameter.name().endsWith(".bias") ? 0f : 1f, value, parameter.name());
                    }
                }
            }
        }
    }

    // ---- memory

    /** Counted by hand: 2 layers, hidden 64, keys 32, MLP 112, vocabulary 199; NF4 has 4 bits a number, and for 64 of them a byte and for 256 of these four. */
    @Test
    void memoryOfEachPart() throws IOException {
        try (CausalLm model = load(Oracle.path("families/llama"), LoadOptions.defaults().withSkipModules(List.of("down_proj")))) {
            List<MemoryReport.Part> parts = MemoryReport.of(model).parts();
            String nf4 = "nf4 + double quantization";
            assertEquals(List.of(new MemoryReport.Part("embed_tokens", "F32", 199 * 64, 4 * 199 * 64), new MemoryReport.Part("q_proj", nf4, 2 * 4096, 2 * (2048 + 64 + 4)),
                    new MemoryReport.Part("k_proj", nf4, 2 * 2048, 2 * (1024 + 32 + 4)), new MemoryReport.Part("v_proj", nf4, 2 * 2048, 2 * (1024 + 32 + 4)),
                    new MemoryReport.Part("o_proj", nf4, 2 * 4096, 2 * (2048 + 64 + 4)), new MemoryReport.Part("gate_proj", nf4, 2 * 7168, 2 * (3584 + 112 + 4)),
                    new MemoryReport.Part("up_proj", nf4, 2 * 7168, 2 * (3584 + 112 + 4)), new MemoryReport.Part("down_proj", "F32", 2 * 7168, 8 * 7168),
                    new MemoryReport.Part("norms", "F32", 5 * 64, 4 * 5 * 64), new MemoryReport.Part("lm_head", "F32", 199 * 64, 4 * 199 * 64)), parts);
            MemoryReport.Part total = MemoryReport.of(model).total();
            assertEquals(parts.stream().mapToLong(MemoryReport.Part::bytes).sum(), total.bytes());
            try (Checkpoint checkpoint = Checkpoint.open(Oracle.path("families/llama"))) {
                assertEquals(checkpoint.byteSize(), total.bytesInFloat32(), "the checkpoint is in float32");
            }
            assertEquals(2 * total.bytesInBfloat16(), total.bytesInFloat32());
            assertClose("bits", parts.get(1).bitsPerParameter(), 8 * 2116.0 / 4096, 1e-15, 0);
            assertEquals("0.1 M parameters in 0.2 MB, 16.11 bits each", MemoryReport.of(model).toString());
        }
    }

    @Test
    void aTiedHeadTakesNoMemory() throws IOException {
        try (CausalLm model = load(Oracle.path("families/llama_tied"), LoadOptions.asStored())) {
            assertTrue(MemoryReport.of(model).parts().stream().noneMatch(part -> part.name().equals("lm_head")));
        }
    }

    // ---- activations

    @Test
    void layersThatABudgetKeeps() {
        assertEquals(12, ActivationBudget.keepAll().layersKept(12, 1L << 40, 1L << 50));
        assertEquals(0, ActivationBudget.recomputeAll().layersKept(12, 100, 1));
        assertEquals(0, new ActivationBudget(1200).layersKept(12, 100, 1), "the inputs alone take it all");
        assertEquals(0, new ActivationBudget(1200 + 499).layersKept(12, 100, 500));
        assertEquals(1, new ActivationBudget(1200 + 500).layersKept(12, 100, 500));
        assertEquals(11, new ActivationBudget(1200 + 11 * 500 + 499).layersKept(12, 100, 500));
        assertEquals(12, new ActivationBudget(1200 + 50 * 500).layersKept(12, 100, 500));
    }
}
