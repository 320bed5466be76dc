package jqlora.train;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import jqlora.format.FolderUse;
import jqlora.format.SafetensorsException;
import jqlora.format.SafetensorsFile;
import jqlora.format.SafetensorsWriter;
import jqlora.format.PeftAdapterFiles;
import jqlora.format.TensorSource;
import jqlora.lora.LoraAdapter;
import jqlora.lora.LoraConfig;
import jqlora.lora.RankPatterns;
import jqlora.lora.TargetLimits;
import jqlora.model.CausalLm;
import jqlora.model.WeightsFingerprint;
import jqlora.ops.Ops;
import jqlora.ops.Parameter;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;

/** What a run trains: an adapter, or the whole model. */
public sealed interface TrainedWeights {
    CausalLm model();

    /** The trained parameters, each with a gradient, in a fixed order. */
    List<Parameter> parameters();

    /** What tells these weights from others that could stand in their place. */
    String description();

    /** @throws IllegalArgumentException if the model computes without these weights, so that they would learn nothing; the message says what to do */
    default void requireInForce() { }

    /** What tells the weights that are not trained from others; of a model that is trained as a whole there are none. */
    String base();

    /** What tells the numbers that these weights have now from others. */
    default String fingerprint() {
        return WeightsFingerprint.ofValues(model().ops(), parameters()).text();
    }

    /** @throws IOException if {@link #save} would refuse {@code folder}, which need not be there yet; the message says what would do */
    void requireOutput(Path folder) throws IOException;

    /** Names of the files that {@link #save} writes. */
    List<String> resultFiles();

    /** Writes them into {@code folder}. */
    void save(Path folder) throws IOException;

    /** Name of the file in the folder that holds them, by their names. */
    String fileName();

    /** An adapter; saved as a PEFT folder.
     * @param baseModel for the adapter's configuration; may be null */
    record OfAdapter(LoraAdapter adapter, String baseModel) implements TrainedWeights {
        @Override
        public CausalLm model() {
            return adapter.model();
        }

        @Override
        public List<Parameter> parameters() {
            return adapter.parameters();
        }

        @Override
        public void requireInForce() {
            if (!adapter.isAttached()) {
                throw new IllegalArgumentException("training: the adapter (" + adapter.config() + ") is not in force, so it would learn nothing; " + (adapter.isMerged()
                        ? "its update is in the weights, undo the merge first" : "put it in force with attach(), or useAdapter of its name, after the one that is was taken out"));
            }
        }

        @Override
        public String description() {
            LoraConfig config = adapter.config();
            return adapter + (config.limits().equals(TargetLimits.none()) ? "" : ", " + config.limits())
                    + (config.patterns().equals(RankPatterns.none()) ? "" : ", " + config.patterns());
        }

        @Override
        public String base() {
            return model().fingerprint().text();
        }

        @Override
        public void requireOutput(Path folder) throws IOException {
            FolderUse.requireForAdapter(folder);
        }

        @Override
        public List<String> resultFiles() {
            return List.of(PeftAdapterFiles.WEIGHTS, PeftAdapterFiles.CONFIG);
        }

        @Override
        public void save(Path folder) throws IOException {
            adapter.save(folder, baseModel);
        }

        @Override
        public String fileName() {
            return PeftAdapterFiles.WEIGHTS;
        }
    }

    /** Every parameter of a model that was loaded for full fine-tuning; saved in float32. */
    record OfModel(CausalLm model) implements TrainedWeights {
        @Override
        public List<Parameter> parameters() {
            return model.parameters().stream().filter(Parameter::isTrained).toList();
        }

        @Override
        public String description() {
            return parameters().size() + " tensors, " + parameters().stream().mapToLong(parameter -> parameter.value().shape().size()).sum() + " numbers";
        }

        @Override
        public String base() {
            return "none";
        }

        @Override
        public void requireOutput(Path folder) throws IOException {
            FolderUse.requireForModel(folder);
        }

        @Override
        public List<String> resultFiles() {
            return List.of(fileName());
        }

        @Override
        public void save(Path folder) throws IOException {
            Ops ops = model.ops();
            SafetensorsWriter.write(folder.resolve(fileName()), parameters().stream().map(parameter -> source(ops, parameter.name(), parameter.value())).toList(),
                    SafetensorsWriter.PT);
        }

        @Override
        public String fileName() {
            return "model.safetensors";
        }
    }

    /** Overwrites the parameters with those that {@link #save} wrote into {@code folder}. */
    default void restore(Path folder) throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve(fileName()))) {
            for (Parameter parameter : parameters()) {
                copy(model().ops(), file, parameter.name(), parameter.value());
            }
        }
    }

    /** {@code tensor} to be written: copied from the device when its turn comes. */
    static TensorSource source(Ops ops, String name, Tensor tensor) {
        return new TensorSource(name, tensor.dtype(), tensor.shape(), sink -> ops.download(tensor, sink));
    }

    /** Overwrites {@code target} with the tensor {@code name} of {@code file}. */
    static void copy(Ops ops, SafetensorsFile file, String name, Tensor target) throws IOException {
        TensorView stored = file.get(name);
        if (!stored.shape().equals(target.shape()) || stored.dtype() != target.dtype()) {
            throw new SafetensorsException(file.path(), name, "is " + stored + ", for this run it must be " + target.dtype() + " " + target.shape());
        }
        try (Tensor uploaded = ops.upload(stored)) {
            ops.copyInto(target, uploaded);
        }
    }
}
