package jqlora;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import jqlora.data.TokenizedRow;
import jqlora.format.HfConfig;
import jqlora.format.SafetensorsWriter;
import jqlora.format.TensorSource;
import jqlora.model.CausalLm;
import jqlora.model.ModelLoader;
import jqlora.ops.Ops;
import jqlora.ops.Parameter;
import jqlora.tensor.DType;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.TensorView;

/** A Llama of two layers with random weights, for tests that need a model and not a particular one. */
public record TinyModel(HfConfig config) {
    private static final Path TOKENIZER = Path.of("models/jqlora-tiny");
    private static final List<String> TOKENIZER_FILES = List.of("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json");

    /** Vocabulary 199, hidden 64, 4 heads, 2 key-value heads, weights wide enough that no two tokens are scored alike. */
    public static TinyModel llama() throws IOException {
        return new TinyModel(HfConfig.read(Oracle.path("families/llama")).with("initializer_range", 0.15));
    }

    /** This with {@code value} at {@code key} of config.json. */
    public TinyModel with(String key, Object value) {
        return new TinyModel(config.with(key, value));
    }

    /** This without {@code key} in config.json. */
    public TinyModel without(String key) {
        return new TinyModel(config.without(key));
    }

    /** The model with gradients, in float32. */
    public CausalLm open(Ops ops, long seed) throws IOException {
        return ModelLoader.initialize(config, seed, ops);
    }

    /** Writes config.json and weights of {@code dtype} into {@code folder} and returns it. */
    public Path write(Path folder, DType dtype, long seed, Ops ops) throws IOException {
        Files.createDirectories(folder);
        config.withDtype(dtype).write(folder);
        try (CausalLm model = open(ops, seed)) {
            List<TensorSource> tensors = new ArrayList<>();
            for (Parameter parameter : model.parameters()) {
                tensors.add(TensorSource.of(parameter.name(), rounded(ops.download(parameter.value()), dtype)));
            }
            SafetensorsWriter.write(folder.resolve("model.safetensors"), tensors, SafetensorsWriter.PT);
        }
        return folder;
    }

    /** As {@link #write}, with the vocabulary and the tokenizer of the small model that ships with jqlora. */
    public Path writeWithTokenizer(Path folder, DType dtype, long seed, Ops ops) throws IOException {
        with("vocab_size", HfConfig.read(TOKENIZER).values().positive("vocab_size")).write(folder, dtype, seed, ops);
        for (String name : TOKENIZER_FILES) {
            Files.copy(TOKENIZER.resolve(name), folder.resolve(name));
        }
        return folder;
    }

    private static TensorView rounded(TensorView values, DType dtype) {
        float[] floats = values.toFloats();
        MemorySegment bytes = MemorySegment.ofArray(new byte[Math.toIntExact(dtype.byteSize(floats.length))]);
        FloatConversion.fromFloats(floats, 0, floats.length, dtype, bytes, 0);
        return new TensorView(dtype, values.shape(), bytes);
    }

    /** Random rows of 4 to {@code longest} tokens below 199, each labelled from somewhere on. */
    public static List<TokenizedRow> rows(int count, int longest, long seed) {
        Random random = new Random(seed);
        List<TokenizedRow> rows = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            int length = 4 + random.nextInt(longest - 3);
            rows.add(new TokenizedRow(random.ints(length, 0, 199).toArray(), random.nextInt(length - 1)));
        }
        return rows;
    }
}
