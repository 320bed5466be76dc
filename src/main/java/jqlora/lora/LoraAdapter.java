package jqlora.lora;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import jqlora.format.FolderUse;
import jqlora.format.PeftAdapterFiles;
import jqlora.format.SafetensorsException;
import jqlora.format.SafetensorsFile;
import jqlora.format.TensorSource;
import jqlora.model.CausalLm;
import jqlora.model.Linear;
import jqlora.ops.LoraFactors;
import jqlora.ops.Ops;
import jqlora.ops.Parameter;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.TensorView;

/** One adapter of one model: A and B for each adapted layer, float32, in force or not. */
public final class LoraAdapter implements AutoCloseable {
    static final String A = ".lora_A.weight", B = ".lora_B.weight";

    private final CausalLm model;
    private final LoraConfig config;
    private final AdapterInit init;
    private final Map<String, LoraFactors> factors;
    private boolean attached, merged, closed;

    private LoraAdapter(CausalLm model, LoraConfig config, AdapterInit init, Map<String, LoraFactors> factors) {
        this.model = model;
        this.config = config;
        this.init = init;
        this.factors = Collections.unmodifiableMap(factors);
    }

    /**
     * A new adapter, in force and trained: A uniform in (-1, 1) / sqrt(inFeatures), B zero, so that it changes nothing at first.
     *
     * @param seed the same seed gives the same A
     * @throws IllegalArgumentException if a pattern matches no module, or a layer has another adapter in force
     * @see <a href="https://github.com/huggingface/peft/blob/v0.21.0/src/peft/tuners/lora/layer.py">PEFT 0.21.0, reset_lora_parameters (kaiming_uniform with a = sqrt 5)</a>
     */
    public static LoraAdapter create(CausalLm model, LoraConfig config, long seed) {
        RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
        Map<String, LoraFactors> factors = new LinkedHashMap<>();
        for (String module : TargetTable.modules(model, config)) {
            Linear linear = model.linear(module);
            int r = config.rOf(module);
            float bound = (float) (1 / Math.sqrt(linear.inFeatures()));
            float[] a = new float[Math.toIntExact(r * linear.inFeatures())];
            for (int i = 0; i < a.length; i++) {
                a[i] = random.nextFloat(-bound, bound);
            }
            factors.put(module, factors(model, config, module, TensorView.ofFloats(a, r, linear.inFeatures()),
                    TensorView.ofFloats(new float[Math.toIntExact(linear.outFeatures() * r)], linear.outFeatures(), r), true));
        }
        return new LoraAdapter(model, config, AdapterInit.standard(), factors).attach();
    }

    /**
     * The adapter in {@code folder}, in force.
     *
     * @param trained whether it is to be trained on; if not it takes no memory for gradients
     * @throws IOException if a file is missing or malformed, the configuration asks for what cannot be computed, or the tensors are not
     *     exactly those that configuration and model call for
     */
    public static LoraAdapter load(CausalLm model, Path folder, boolean trained) throws IOException {
        try (PeftAdapterFiles files = PeftAdapterFiles.open(folder)) {
            LoraConfig config = AdapterConfigJson.read(files.config());
            AdapterInit init = AdapterInit.read(files.config(), trained);
            List<String> modules;
            try {
                modules = TargetTable.fitting(model, config);
            } catch (IllegalArgumentException noMatch) {
                throw new IOException(folder + ": the adapter does not fit the model: " + noMatch.getMessage(), noMatch);
            }
            AdapterTensors.requireFit(files, model, modules);
            for (String module : modules) {
                Linear linear = model.linear(module);
                requireShape(files.tensors(), key(module, A), Shape.of(config.rOf(module), linear.inFeatures()));
                requireShape(files.tensors(), key(module, B), Shape.of(linear.outFeatures(), config.rOf(module)));
            }
            Map<String, LoraFactors> factors = new LinkedHashMap<>();
            for (String module : modules) {
                factors.put(module, factors(model, config, module, AdapterTensors.floats(files.tensors(), key(module, A)), AdapterTensors.floats(files.tensors(), key(module, B)), trained));
            }
            return new LoraAdapter(model, config, init, factors).attach();
        }
    }

    private static void requireShape(SafetensorsFile file, String name, Shape shape) throws SafetensorsException {
        if (!file.get(name).shape().equals(shape)) {
            throw new SafetensorsException(file.path(), name, "has shape " + file.get(name).shape() + ", for this model it must be " + shape);
        }
    }

    static String key(String module, String part) {
        return PeftAdapterFiles.KEY_PREFIX + module + part;
    }

    private static LoraFactors factors(CausalLm model, LoraConfig config, String module, TensorView a, TensorView b, boolean trained) {
        int number = List.copyOf(model.linears().keySet()).indexOf(module);
        return new LoraFactors(parameter(model.ops(), key(module, A), a, trained), parameter(model.ops(), key(module, B), b, trained),
                (float) config.scalingOf(module), config.loraDropout(), number);
    }

    private static Parameter parameter(Ops ops, String name, TensorView value, boolean trained) {
        return new Parameter(name, ops.upload(value), trained ? ops.zeros(DType.F32, value.shape().toArray()) : null);
    }

    public LoraConfig config() {
        return config;
    }

    public CausalLm model() {
        return model;
    }

    /** A and B of each adapted module, in the order of the forward. */
    public Map<String, LoraFactors> factors() {
        return factors;
    }

    /** A and B of the first adapted module, then of the next; their names are the keys of the adapter's file. */
    public List<Parameter> parameters() {
        List<Parameter> parameters = new ArrayList<>();
        factors.values().forEach(pair -> {
            parameters.add(pair.a());
            parameters.add(pair.b());
        });
        return parameters;
    }

    /** Numbers in all A and B. */
    public long parameterCount() {
        return parameters().stream().mapToLong(parameter -> parameter.value().shape().size()).sum();
    }

    public boolean isAttached() {
        return attached;
    }

    /**
     * Puts the adapter in force.
     *
     * @throws IllegalArgumentException if one of its layers has another adapter in force, or it is merged, and so would count twice
     */
    public LoraAdapter attach() {
        if (closed) {
            throw new IllegalArgumentException("adapter: " + config + " is closed; load it again");
        }
        requireUnmerged("adapter");
        for (String module : factors.keySet()) {
            LoraFactors present = model.linear(module).lora();
            if (present != null && present != factors.get(module)) {
                throw new IllegalArgumentException("adapter: " + module + " has another adapter in force; detach that one first");
            }
        }
        factors.forEach((module, pair) -> model.linear(module).setLora(pair));
        attached = true;
        return this;
    }

    /** @throws IllegalArgumentException if the adapter's update is in the weights */
    void requireUnmerged(String what) {
        if (merged) {
            throw new IllegalArgumentException(what + ": " + config + " is merged into the weights already, its update would count twice; undo the merge first,"
                    + " or load the model again where that is final");
        }
    }

    void setMerged(boolean merged) {
        this.merged = merged;
    }

    /** Whether the adapter's update is in the model's weights. */
    public boolean isMerged() {
        return merged;
    }

    /** Whether its memory was given back. */
    public boolean isClosed() {
        return closed;
    }

    /** Takes the adapter out of force: the model computes as its base does. Its numbers stay. */
    public void detach() {
        if (attached) {
            factors.keySet().forEach(module -> model.linear(module).setLora(null));
            attached = false;
        }
    }

    /**
     * Writes PEFT's two files into {@code folder}, whole or not at all.
     *
     * @param baseModel name or folder of the base model, for {@code base_model_name_or_path}; may be null. Where it is the model's own {@link CausalLm#name},
     *     its commit is written too
     * @throws IOException if the files cannot be written, the folder holds a model, or a number is not finite
     */
    public void save(Path folder, String baseModel) throws IOException {
        model.use().require("saving the adapter");
        FolderUse.requireForAdapter(folder);
        List<TensorSource> tensors = new ArrayList<>();
        for (Parameter parameter : parameters()) {
            TensorView value = model.ops().download(parameter.value());
            AdapterTensors.requireFinite(folder.resolve(PeftAdapterFiles.WEIGHTS), parameter.name(), value.toFloats(), "Nothing was written; take an earlier checkpoint, or"
                    + " train with a lower learning rate");
            tensors.add(TensorSource.of(parameter.name(), value));
        }
        String revision = model.name() != null && model.name().text().equals(baseModel) ? model.name().revision() : null;
        PeftAdapterFiles.write(folder, AdapterConfigJson.write(config, init, baseModel, revision), tensors);
    }

    /** Takes the adapter out of force and gives back its memory. */
    @Override
    public void close() {
        detach();
        parameters().forEach(Parameter::close);
        closed = true;
    }

    /** Such as {@code r 8, alpha 16, q_proj, v_proj: 460800 parameters in 60 layers}. */
    @Override
    public String toString() {
        return config + ": " + parameterCount() + " parameters in " + factors.size() + " layers";
    }
}
