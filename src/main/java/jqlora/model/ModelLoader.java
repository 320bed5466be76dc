package jqlora.model;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import jqlora.format.BitsAndBytesConfig;
import jqlora.format.BitsAndBytesState;
import jqlora.format.Checkpoint;
import jqlora.format.HfConfig;
import jqlora.format.ModelName;
import jqlora.model.families.Families;
import jqlora.ops.AttentionShape;
import jqlora.ops.HeadNorms;
import jqlora.ops.Norm;
import jqlora.ops.Ops;
import jqlora.ops.Parameter;
import jqlora.ops.Weight;
import jqlora.quant.FourBitFormat;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.DType;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;
import jqlora.tensor.Workers;

/**
 * Makes a model from a Hugging Face folder, tensor by tensor: each is read from the mapped file, quantized and handed to the backend
 * before the next, so the peak is the quantized model and one tensor.
 */
public final class ModelLoader implements AutoCloseable {
    private static final int CHUNK = 1 << 16;

    private final Ops ops;
    private final WeightSource source;
    private final LoadOptions options;
    private final Workers workers;
    private final List<AutoCloseable> made = new ArrayList<>();
    private final Map<String, TensorPrint> prints = new LinkedHashMap<>();
    private final List<String> notes = new ArrayList<>(), warnings = new ArrayList<>();

    private ModelLoader(Ops ops, WeightSource source, LoadOptions options) {
        this.ops = ops;
        this.source = source;
        this.options = options;
        this.workers = new Workers(ops.threads());
    }

    /**
     * Loads the model in {@code folder}: {@code config.json} and safetensors.
     *
     * @throws IOException if a file is missing or malformed, the family is not supported, or a tensor is missing, superfluous or of
     *     another shape than the config says
     */
    public static CausalLm load(Path folder, LoadOptions options, Ops ops, LoadListener listener) throws IOException {
        HfConfig config = HfConfig.read(folder);
        DecoderSpec spec = Families.read(config);
        Optional<BitsAndBytesConfig> quantization = config.quantization();   // refuses other methods before anything is read
        try (Checkpoint checkpoint = Checkpoint.open(folder)) {
            CheckpointWeights weights = new CheckpointWeights(checkpoint, spec, listener);
            LoadOptions fitting = options.of(quantization.isPresent() || BitsAndBytesState.hasFourBit(checkpoint));
            try (ModelLoader loader = new ModelLoader(ops, weights, fitting)) {
                CausalLm model = loader.build(spec);
                weights.requireAllRead();
                loader.warnings.addAll(weights.warnings());
                loader.noteKept(options, model);
                loader.warnOfFormats(model);
                model.setName(ModelName.of(folder));
                model.setLoadReport(new LoadReport(loader.notes, loader.warnings));
                return loader.finished(model);
            }
        }
    }

    /** A model with random weights, in float32, every parameter trained; for training from scratch.
     * @param seed the same seed gives the same weights */
    public static CausalLm initialize(HfConfig config, long seed, Ops ops) throws IOException {
        DecoderSpec spec = Families.read(config);
        float deviation = (float) config.values().number("initializer_range", 0.02);
        return load(spec, new RandomWeights(seed, deviation, spec.norm().initialWeight()), LoadOptions.fullFineTuning(), ops);
    }

    /** A model of the weights that {@code source} has. */
    static CausalLm load(DecoderSpec spec, WeightSource source, LoadOptions options, Ops ops) throws IOException {
        try (ModelLoader loader = new ModelLoader(ops, source, options)) {
            return loader.finished(loader.build(spec));
        }
    }

    private void noteKept(LoadOptions asked, CausalLm model) {
        if (asked.quantization() != null && options.quantization() == null) {
            List<String> numbers = model.linears().values().stream().filter(linear -> linear != model.lmHead() && linear.state().loaded().fourBit() == null)
                    .map(Linear::name).toList();
            notes.add("the checkpoint is in 4 bits itself and decides what is: " + (numbers.isEmpty() ? "every linear layer of the decoder"
                    : numbers.size() + " linear layers stay as numbers, such as " + numbers.getFirst() + "; LoadOptions.withQuantizeRest(true) puts them into 4 bits too"));
        }
    }

    private void warnOfFormats(CausalLm model) {
        List<FourBitFormat> formats = ModelWriter.formats(model);
        if (formats.size() > 1) {
            warnings.add("the 4-bit weights have different formats, " + formats + ": the model computes and trains, but it cannot be saved, since a config.json names one;"
                    + " load it without withQuantizeRest, or with withQuantization as the checkpoint's own");
        }
    }

    private CausalLm build(DecoderSpec config) throws IOException {
        DecoderSpec spec = config.tieWordEmbeddings() && hasHeadOfItsOwn(config) ? config.untied() : config;
        Embedding embedding = embedding(spec);
        List<DecoderLayer> layers = new ArrayList<>();
        for (int i = 0; i < spec.numHiddenLayers(); i++) {
            layers.add(layer(spec, i));
        }
        OutputSpec output = spec.output();
        Norm norm = output.norm() == null ? null : norm(output.norm(), spec);
        Linear projectOut = output.projectOut() == null ? null : linear(output.projectOut(), spec.embedding().width(), spec.hiddenSize(), false);
        String name = output.head().name();
        Parameter head = spec.tieWordEmbeddings() ? embedding.tokens() : parameter(name + ".weight", table(spec));
        Parameter bias = output.head().bias() ? parameter(name + ".bias", Shape.of(spec.vocabSize())) : null;
        return new CausalLm(ops, spec, embedding, layers, norm, projectOut, new Linear(name, new Weight.Dense(head), bias, numbers(head)), source.hasNumbers() ? prints : null);
    }

    private static Shape table(DecoderSpec spec) {
        return Shape.of(spec.vocabSize(), spec.embedding().width());
    }

    private static String tableName(DecoderSpec spec) {
        return spec.embedding().table() + ".weight";
    }

    private static String headName(DecoderSpec spec) {
        return spec.output().head().name() + ".weight";
    }

    private Embedding embedding(DecoderSpec spec) throws IOException {
        EmbeddingSpec embedding = spec.embedding();
        String name = tableName(spec), head = headName(spec);
        boolean underTheHead = embedding.tieWordEmbeddings() && !source.contains(name) && source.contains(head);
        Parameter tokens = parameter(name, underTheHead ? head : name, table(spec));
        Linear projectIn = embedding.projectIn() == null ? null : linear(embedding.projectIn(), spec.hiddenSize(), embedding.width(), false);
        Parameter positions = null;
        int offset = 0;
        if (spec.attention().positions() instanceof Positions.Learned learned) {
            positions = parameter(learned.table() + ".weight", Shape.of(learned.rows(), spec.hiddenSize()));
            offset = learned.offset();
        }
        return new Embedding(tokens, embedding.scale(), positions, offset, projectIn, embedding.norm() == null ? null : norm(embedding.norm(), spec));
    }

    /**
     * Whether a checkpoint whose config ties the output layer to the embedding has another one: then that is the output layer, as in transformers.
     *
     * @see <a href="https://github.com/huggingface/transformers/blob/v5.17.0/src/transformers/modeling_utils.py">transformers 5.17.0, tie_weights</a>
     */
    private boolean hasHeadOfItsOwn(DecoderSpec spec) throws IOException {
        String name = tableName(spec), head = headName(spec);
        if (!source.contains(name) || !source.contains(head)) {
            return false;
        }
        try (Arena arena = Arena.ofShared()) {
            TensorView table = converted(source.read(name, table(spec), arena), arena);
            if (sameNumbers(table, converted(source.read(head, table(spec), arena), arena))) {
                return false;
            }
        }
        warnings.add("config.json ties " + head + " to " + name + ", but the checkpoint has both and they differ; they are not tied, as in transformers 5."
                + " Set tie_word_embeddings to false in config.json");
        return true;
    }

    private boolean sameNumbers(TensorView a, TensorView b) {
        if (a.dtype() == b.dtype() && a.data().mismatch(b.data()) < 0) {
            return true;
        }
        AtomicBoolean same = new AtomicBoolean(true);
        workers.ranges(a.shape().size(), CHUNK, (from, to) -> {
            float[] left = new float[(int) (to - from)], right = new float[left.length];
            FloatConversion.toFloats(a.dtype(), a.data(), from, left, 0, left.length);
            FloatConversion.toFloats(b.dtype(), b.data(), from, right, 0, right.length);
            for (int i = 0; i < left.length && same.get(); i++) {
                if (left[i] != right[i]) {
                    same.set(false);
                }
            }
        });
        return same.get();
    }

    private DecoderLayer layer(DecoderSpec spec, int index) throws IOException {
        String prefix = spec.layer().prefix() + index + ".";
        AttentionSpec attention = spec.attention();
        MlpSpec mlp = spec.mlp();
        int hidden = spec.hiddenSize();
        Map<String, Norm> norms = new HashMap<>();               // a norm that both branches read is one
        Branch.Norms attentionNorms = norms(spec, prefix, attention.norms(), norms);
        AttentionShape shape = attention.shape(index);
        long[] features = attention.qkv().projections().size() == 1 ? new long[] {shape.qkvColumns()} : new long[] {shape.queryColumns(), shape.keyColumns(), shape.keyColumns()};
        List<Linear> qkv = new ArrayList<>();
        for (Projection projection : attention.qkv().projections()) {
            qkv.add(linear(prefix, projection, features[qkv.size()], hidden));
        }
        AttentionBranch attentionBranch = new AttentionBranch(index, shape, attentionNorms, spec.layer().branchScale(), qkv, attention.qkv().order(), headNorms(spec, prefix),
                attention.rope(index), linear(prefix, attention.output(), hidden, shape.queryColumns()));
        Branch.Norms mlpNorms = norms(spec, prefix, mlp.norms(), norms);
        List<Linear> up = new ArrayList<>();
        for (Projection projection : mlp.up()) {
            up.add(linear(prefix, projection, mlp.upFeatures(), hidden));
        }
        MlpBranch mlpBranch = new MlpBranch(mlpNorms, spec.layer().branchScale(), up, mlp.activation(), mlp.gated(), linear(prefix, mlp.down(), hidden, mlp.intermediateSize()));
        return new DecoderLayer(index, spec.layer().residual(), attentionBranch, mlpBranch);
    }

    private HeadNorms headNorms(DecoderSpec spec, String prefix) throws IOException {
        AttentionSpec.HeadNormNames names = spec.attention().headNorms();
        Shape head = Shape.of(spec.attention().headDim());
        if (names == null) {
            return null;
        }
        AttentionShape shape = spec.attentionShape(0);
        Shape query = names.acrossHeads() ? Shape.of(shape.queryColumns()) : head, key = names.acrossHeads() ? Shape.of(shape.keyColumns()) : head;
        float offset = spec.norm().weightOffset();
        return new HeadNorms(new Norm.Rms(parameter(prefix + names.query() + ".weight", query), offset, spec.norm().eps()),
                new Norm.Rms(parameter(prefix + names.key() + ".weight", key), offset, spec.norm().eps()), names.acrossHeads());
    }

    private Branch.Norms norms(DecoderSpec spec, String prefix, BranchNorms names, Map<String, Norm> made) throws IOException {
        return new Branch.Norms(norm(spec, prefix, names.before(), made), norm(spec, prefix, names.after(), made), norm(spec, prefix, names.afterSum(), made));
    }

    private Norm norm(DecoderSpec spec, String prefix, String name, Map<String, Norm> made) throws IOException {
        if (name != null && !made.containsKey(name)) {
            made.put(name, norm(prefix + name, spec));
        }
        return made.get(name);
    }

    private Linear linear(String prefix, Projection projection, long outFeatures, long inFeatures) throws IOException {
        return linear(prefix + projection.name(), outFeatures, inFeatures, projection.bias());
    }

    private Norm norm(String name, DecoderSpec spec) throws IOException {
        Shape shape = Shape.of(spec.hiddenSize());
        return spec.norm().of(parameter(name + ".weight", shape), spec.norm().bias() ? parameter(name + ".bias", shape) : null);
    }

    private Linear linear(String name, long outFeatures, long inFeatures, boolean bias) throws IOException {
        Shape shape = Shape.of(outFeatures, inFeatures);
        QuantizedTensor stored = source.readFourBit(name + ".weight", shape);
        Weight weight;
        LoadedWeight loaded;
        if (stored != null) {
            options.requireFits(name);
            weight = ops.upload(stored);
            loaded = new LoadedWeight.FourBitFile(stored.format());
            made.add(weight);
        } else if (options.quantizes(name)) {
            Weight.FourBit quantized = quantized(name + ".weight", shape);
            weight = quantized;
            loaded = new LoadedWeight.Quantized(quantized.format());
            made.add(weight);
        } else {
            Parameter parameter = parameter(name + ".weight", shape);
            weight = new Weight.Dense(parameter);
            loaded = numbers(parameter);
        }
        return new Linear(name, weight, bias ? parameter(name + ".bias", Shape.of(outFeatures)) : null, loaded);
    }

    private static LoadedWeight numbers(Parameter parameter) {
        return new LoadedWeight.Numbers(parameter.value().dtype());
    }

    private Weight.FourBit quantized(String name, Shape shape) throws IOException {
        try (Arena arena = Arena.ofShared()) {
            TensorView tensor = converted(source.read(name, shape, arena), arena);
            FourBitFormat format = options.quantization().withDtype(tensor.dtype());
            return ops.quantize(tensor, format);
        }
    }

    private Parameter parameter(String name, Shape shape) throws IOException {
        return parameter(name, name, shape);
    }

    /** @param tensor under which the checkpoint has the numbers */
    private Parameter parameter(String name, String tensor, Shape shape) throws IOException {
        try (Arena arena = Arena.ofShared()) {
            TensorView stored = source.read(tensor, shape, arena);
            // a frozen BF16 or F16 number is the same number in F32, which would only take twice the memory
            boolean exactAsStored = !options.trained() && options.dtype() == DType.F32;
            Tensor value = ops.upload(exactAsStored ? stored : converted(stored, arena));
            if (options.trained() && source.hasNumbers()) {
                prints.put(name, TensorPrint.of(name, stored, workers));
            }
            Parameter parameter = new Parameter(name, value, options.trained() ? ops.zeros(DType.F32, shape.toArray()) : null);
            made.add(parameter);
            return parameter;
        }
    }

    /** {@code tensor} in the dtype of the options. */
    private TensorView converted(TensorView tensor, Arena arena) {
        return Rounded.to(options.dtype() == null ? tensor.dtype() : options.dtype(), tensor, arena, workers);
    }

    private CausalLm finished(CausalLm model) {
        made.clear();
        return model;
    }

    /** Gives back what was made when the load did not come to its end. */
    @Override
    public void close() {
        workers.close();
        for (AutoCloseable part : made) {
            switch (part) {
                case Parameter parameter -> parameter.close();
                case Weight weight -> weight.close();
                default -> throw new AssertionError(part);
            }
        }
    }
}
