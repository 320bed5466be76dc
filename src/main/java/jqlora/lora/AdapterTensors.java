package jqlora.lora;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import jqlora.format.JsonFileException;
import jqlora.format.JsonView;
import jqlora.format.PeftAdapterFiles;
import jqlora.format.SafetensorsException;
import jqlora.format.SafetensorsFile;
import jqlora.model.CausalLm;
import jqlora.ops.Parameter;
import jqlora.tensor.DType;
import jqlora.tensor.NearNames;
import jqlora.tensor.TensorView;

/** The tensors of an adapter's file: exactly those of its modules, all of them finite, and whole modules beside them only where they are the base's own. */
final class AdapterTensors {
    /** VeLoRA's compression of activations, for its backward alone. */
    private static final String VELORA = ".lora_velora_embed";

    private AdapterTensors() { }

    /** @throws SafetensorsException if a tensor is missing, or one that is there would be left out although it says something
     *  @throws JsonFileException if a whole module is named of which the file has no tensor */
    static void requireFit(PeftAdapterFiles files, CausalLm model, List<String> modules) throws SafetensorsException, JsonFileException {
        SafetensorsFile file = files.tensors();
        Set<String> missing = new LinkedHashSet<>();
        modules.forEach(module -> missing.addAll(List.of(LoraAdapter.key(module, LoraAdapter.A), LoraAdapter.key(module, LoraAdapter.B))));
        Set<String> superfluous = new LinkedHashSet<>(file.names());
        superfluous.removeAll(missing);
        file.names().forEach(missing::remove);
        if (!missing.isEmpty()) {
            String first = missing.iterator().next();
            throw new SafetensorsException(file.path(), first, "is not there, the configuration calls for it (" + missing.size() + " missing in all)"
                    + NearNames.hint(first, file.names()) + "; take its module out of target_modules if it was never trained, or get the whole file");
        }
        List<String> same = new ArrayList<>();
        for (String name : superfluous) {
            if (name.contains(VELORA)) {
                continue;
            }
            Optional<Parameter> base = parameter(model, name);
            if (base.isEmpty()) {
                throw new SafetensorsException(file.path(), name, "belongs to no module that the configuration adapts in this model (" + superfluous.size()
                        + " such tensors); load the adapter on the model that it was trained on" + NearNames.hint(name, modules.stream().map(module -> LoraAdapter.key(module, LoraAdapter.A)).toList()));
            }
            requireTheBases(file, name, base.get(), model);
            same.add(moduleTensor(name));
        }
        requireModulesToSave(files.config(), same);
    }

    /** A whole layer that PEFT saves beside an adapter: the embedding or the output layer, where it believes that the vocabulary has changed, or modules_to_save. */
    private static Optional<Parameter> parameter(CausalLm model, String key) {
        String name = moduleTensor(key);
        if (name.equals(model.headName() + ".weight") && model.spec().tieWordEmbeddings()) {
            return Optional.of(model.embedTokens());
        }
        return model.parameters().stream().filter(parameter -> parameter.name().equals(name)).findFirst();
    }

    /** The name in the model of a tensor that lies under {@code key} in the file. */
    private static String moduleTensor(String key) {
        return key.substring(PeftAdapterFiles.KEY_PREFIX.length()).replace(".base_layer.", ".").replace(".modules_to_save.", ".");
    }

    private static void requireTheBases(SafetensorsFile file, String name, Parameter base, CausalLm model) throws SafetensorsException {
        TensorView saved = file.get(name), own = model.ops().download(base.value());
        String way = "; a whole module beside an adapter cannot be computed yet. Merge in PEFT with merge_and_unload(), save the model and load that";
        if (!saved.dtype().isWeightType() || !saved.shape().equals(own.shape())) {
            throw new SafetensorsException(file.path(), name, "is " + saved + ", the base's " + base.name() + " is " + own + way);
        }
        float[] left = saved.toFloats(), right = own.toFloats();
        int different = 0;
        for (int i = 0; i < left.length; i++) {
            different += left[i] == right[i] ? 0 : 1;
        }
        if (different > 0) {
            throw new SafetensorsException(file.path(), name, "differs from the base's " + base.name() + " in " + different + " of " + left.length + " numbers" + way);
        }
    }

    private static void requireModulesToSave(JsonView config, List<String> same) throws JsonFileException {
        if (!config.isSet("modules_to_save")) {
            return;
        }
        for (String module : config.texts("modules_to_save")) {
            if (same.stream().noneMatch(name -> name.equals(module + ".weight") || name.endsWith("." + module + ".weight"))) {
                throw config.fault("modules_to_save", "absent, null, false or empty, or name modules that the file has just as the base has them: " + module
                        + " cannot be trained beside an adapter yet. Merge in PEFT with merge_and_unload(), save the model and load that");
            }
        }
    }

    /** The tensor {@code name} as F32. */
    static TensorView floats(SafetensorsFile file, String name) throws SafetensorsException {
        TensorView tensor = file.get(name);
        if (!tensor.dtype().isWeightType()) {
            throw new SafetensorsException(file.path(), name, "is " + tensor + ", it must be F32, BF16 or F16");
        }
        float[] floats = tensor.toFloats();
        requireFinite(file.path(), name, floats, "The training that made it diverged; take an earlier checkpoint");
        return tensor.dtype() == DType.F32 ? tensor : TensorView.ofFloats(floats, tensor.shape().toArray());
    }

    /** @throws SafetensorsException if one of {@code values} is NaN or infinite */
    static void requireFinite(Path file, String name, float[] values, String wayOut) throws SafetensorsException {
        int wrong = 0, first = -1;
        for (int i = values.length - 1; i >= 0; i--) {
            if (!Float.isFinite(values[i])) {
                wrong++;
                first = i;
            }
        }
        if (wrong > 0) {
            throw new SafetensorsException(file, name, wrong + " of its " + values.length + " numbers are NaN or infinite, the first, at " + first + ", is " + values[first]
                    + "; they must be finite. " + wayOut);
        }
    }
}
