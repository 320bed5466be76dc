package jqlora.format;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** Whether a folder may take a model or an adapter, so that every program that opens it finds just that. */
public final class FolderUse {
    private static final List<String> ADAPTER = List.of(PeftAdapterFiles.CONFIG, PeftAdapterFiles.WEIGHTS, "adapter_model.bin");
    private static final Pattern OTHER_WEIGHTS = Pattern.compile("pytorch_model.*\\.bin(\\.index\\.json)?|consolidated.*|.*\\.gguf|.*\\.safetensors|tf_model\\.h5|flax_model\\.msgpack");
    private static final Pattern OWN_WEIGHTS = Pattern.compile("model(-\\d{5}-of-\\d{5})?\\.safetensors");
    private static final Pattern MODEL_WEIGHTS = Pattern.compile("(pytorch_)?model(-\\d{5}-of-\\d{5})?\\.(safetensors|bin)(\\.index\\.json)?|consolidated.*|.*\\.gguf");

    private FolderUse() { }

    /**
     * Refuses a folder in which a model would not be what others read.
     *
     * @throws IOException if it is a file or cannot be written, or holds an adapter, which transformers would load instead, or weights that other programs might prefer
     */
    public static void requireForModel(Path folder) throws IOException {
        for (String name : names(folder)) {
            if (ADAPTER.contains(name)) {
                throw new IOException(folder + ": holds an adapter (" + name + "); transformers would load that on its base and never read a model beside it. Save the model"
                        + " to another folder, such as " + folder.resolveSibling(folder.getFileName() + "-merged") + ", or move the adapter away");
            }
            if (OTHER_WEIGHTS.matcher(name).matches() && !OWN_WEIGHTS.matcher(name).matches()) {
                throw new IOException(folder + ": holds " + name + ", weights that another program may read in place of the model's; save to another folder, or move them away");
            }
        }
    }

    /**
     * Refuses a folder in which an adapter would hide something.
     *
     * @throws IOException if it is a file or cannot be written, or holds a model: transformers would load the adapter on its base and never read the model
     */
    public static void requireForAdapter(Path folder) throws IOException {
        List<String> names = names(folder);
        for (String name : names) {
            if (MODEL_WEIGHTS.matcher(name).matches()) {
                throw new IOException(folder + ": holds a model (" + name + "); with an adapter beside it transformers would load the adapter on its base and never read"
                        + " that model. Save the adapter to another folder, such as " + folder.resolveSibling(folder.getFileName() + "-adapter"));
            }
        }
    }

    /** The names in {@code folder}; none if it is not there but can be made. */
    private static List<String> names(Path folder) throws IOException {
        Path there = folder.toAbsolutePath();
        while (!Files.exists(there)) {                            // the root is
            there = there.getParent();
        }
        if (!Files.isWritable(there)) {
            throw new IOException(folder + ": cannot be written, " + there + " is read-only for this process; give another folder, or change its permissions");
        }
        if (!Files.exists(folder)) {
            if (!Files.isDirectory(there)) {
                throw new IOException(folder + ": cannot be made, " + there + " is a file, it must be a folder; give another name");
            }
            return List.of();
        }
        if (!Files.isDirectory(folder)) {
            throw new IOException(folder + ": is a file, it must be a folder; give another name");
        }
        try (Stream<Path> children = Files.list(folder)) {
            return children.map(child -> child.getFileName().toString()).sorted().toList();
        }
    }
}
