package jqlora.model;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import jqlora.format.Checkpoint;
import jqlora.format.HfConfig;
import jqlora.ops.Norm;
import jqlora.ops.Ops;
import jqlora.ops.Parameter;
import jqlora.ops.Weight;
import jqlora.quant.FourBitFormat;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;
import jqlora.tensor.Workers;

/**
 * Makes a model from a Hugging Face folder, tensor by tensor: each is read from the mapped file, quantized and handed to the backend
 * before the next, so the peak is the quantized model and one tensor.
 */
public final class ModelLoader implements AutoCloseable {
    private final Ops ops;
    private final WeightSource source;
    private final LoadOptions options;
    private final Workers workers;
    private final List<AutoCloseable> made = new ArrayList<>();
    private final Map<String, TensorPrint> prints = new LinkedHashMap<>();

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
        config.quantization();                                    // refuses other methods before anything is read
        try (Checkpoint checkpoint = Checkpoint.open(folder)) {
            CheckpointWeights weights = new CheckpointWeights(checkpoint, listener);
            try (ModelLoader loader = new ModelLoader(ops, weights, options)) {
                CausalLm model = loader.build(spec);
                weights.requireAllRead(spec);
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

    private CausalLm build(DecoderSpec spec) throws IOException {
        Parameter embedTokens = parameter("model.embed_tokens.weight", Shape.of(spec.vocabSize(), spec.hiddenSize()));
        List<DecoderLayer> layers = new ArrayList<>();
        for (int i = 0; i < spec.numHiddenLayers(); i++) {
            layers.add(layer(spec, i));
        }
        Norm norm = norm("model.norm", spec);
        Parameter head = spec.tieWordEmbeddings() ? embedTokens : parameter(CausalLm.LM_HEAD + ".weight", Shape.of(spec.vocabSize(), spec.hiddenSize()));
        return new CausalLm(ops, spec, embedTokens, layers, norm, new Linear(CausalLm.LM_HEAD, new Weight.Dense(head), null, numbers(head)),
                source.hasNumbers() ? prints : null);
    }

    private DecoderLayer layer(DecoderSpec spec, int index) throws IOException {
        String prefix = "model.layers." + index + ".";
        AttentionSpec attention = spec.attention();
        int hidden = spec.hiddenSize(), intermediate = spec.mlp().intermediateSize(), dim = attention.headDim();
        int queries = attention.numAttentionHeads() * dim, keys = attention.numKeyValueHeads() * dim;
        Norm inputNorm = norm(prefix + "input_layernorm", spec);
        String self = prefix + "self_attn.";
        DecoderLayer.HeadNorms headNorms = attention.headNorm() ? new DecoderLayer.HeadNorms(
                parameter(self + "q_norm.weight", Shape.of(dim)), parameter(self + "k_norm.weight", Shape.of(dim))) : null;
        var projections = new DecoderLayer.Attention(linear(self + "q_proj", queries, hidden, attention.qkvBias()),
                linear(self + "k_proj", keys, hidden, attention.qkvBias()), linear(self + "v_proj", keys, hidden, attention.qkvBias()),
                linear(self + "o_proj", hidden, queries, attention.outputBias()), headNorms);
        Norm middleNorm = norm(prefix + "post_attention_layernorm", spec);
        boolean bias = spec.mlp().bias();
        var mlp = new DecoderLayer.Mlp(linear(prefix + "mlp.gate_proj", intermediate, hidden, bias),
                linear(prefix + "mlp.up_proj", intermediate, hidden, bias), linear(prefix + "mlp.down_proj", hidden, intermediate, bias));
        return new DecoderLayer(index, inputNorm, projections, middleNorm, mlp);
    }

    private Norm norm(String name, DecoderSpec spec) throws IOException {
        Shape shape = Shape.of(spec.hiddenSize());
        return spec.norm().of(parameter(name + ".weight", shape), spec.norm().hasBias() ? parameter(name + ".bias", shape) : null);
    }

    private Linear linear(String name, int outFeatures, int inFeatures, boolean bias) throws IOException {
        Shape shape = Shape.of(outFeatures, inFeatures);
        QuantizedTensor stored = source.readFourBit(name + ".weight", shape);
        Weight weight;
        LoadedWeight loaded;
        if (stored != null) {
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
        try (Arena arena = Arena.ofShared()) {
            TensorView stored = source.read(name, shape, arena);
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
