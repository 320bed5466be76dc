package jqlora.format;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Pattern;
import jqlora.tensor.NearNames;
import jqlora.tensor.TensorView;

/**
 * The weights of a model's folder: {@code model.safetensors}, or the shards that {@code model.safetensors.index.json} names. A
 * tensor that lies in a shard but not in the index is not part of the model.
 */
public final class Checkpoint implements NamedTensors {
    /** The only file of a model that is not split. */
    public static final String SINGLE = "model.safetensors";
    /** Says which shard each tensor is in. */
    public static final String INDEX = "model.safetensors.index.json";

    /** A name within the folder: no separator, drive or leading dot. */
    private static final Pattern SHARD_NAME = Pattern.compile("[^./\\\\:\\p{Cntrl}][^/\\\\:\\p{Cntrl}]*");

    private final Path folder;
    private final Map<String, TensorInfo> infos;
    private final Map<String, SafetensorsFile> files;
    private final Map<String, SafetensorsFile> fileOf;

    private Checkpoint(Path folder, Map<String, TensorInfo> infos, Map<String, SafetensorsFile> files, Map<String, SafetensorsFile> fileOf) {
        this.folder = folder;
        this.infos = infos;
        this.files = files;
        this.fileOf = fileOf;
    }

    /**
     * Opens the weights in {@code folder}; {@code model.safetensors} goes before an index, as in transformers.
     *
     * @throws SafetensorsException if there are none, a shard is missing or malformed, or a tensor is not in the shard that the index
     *     names
     * @throws JsonFileException if the index is not as it must be, or a shard's name leads out of the folder
     */
    public static Checkpoint open(Path folder) throws IOException {
        if (Files.isRegularFile(folder.resolve(SINGLE))) {
            SafetensorsFile file = SafetensorsFile.open(folder.resolve(SINGLE));
            Map<String, SafetensorsFile> fileOf = new LinkedHashMap<>();
            file.infos().keySet().forEach(name -> fileOf.put(name, file));
            return new Checkpoint(folder, file.infos(), Map.of(SINGLE, file), fileOf);
        }
        if (!Files.isRegularFile(folder.resolve(INDEX))) {
            throw noWeights(folder);
        }
        JsonView weightMap = JsonView.read(folder.resolve(INDEX)).object("weight_map");
        Map<String, SafetensorsFile> files = new TreeMap<>();
        boolean opened = false;
        try {
            Checkpoint checkpoint = openShards(folder, weightMap, files);
            opened = true;
            return checkpoint;
        } finally {
            if (!opened) {
                files.values().forEach(SafetensorsFile::close);
            }
        }
    }

    private static Checkpoint openShards(Path folder, JsonView weightMap, Map<String, SafetensorsFile> files) throws IOException {
        Map<String, String> shardOf = weightMap.toTexts();
        Map<String, SafetensorsFile> fileOf = new LinkedHashMap<>();
        for (Map.Entry<String, String> entry : shardOf.entrySet()) {
            String shard = entry.getValue();
            if (!SHARD_NAME.matcher(shard).matches()) {
                throw weightMap.fault(entry.getKey(), "the name of a file in the same folder");
            }
            SafetensorsFile file = files.get(shard);
            if (file == null) {
                file = SafetensorsFile.open(folder.resolve(shard));
                files.put(shard, file);
            }
            if (!file.contains(entry.getKey())) {
                throw new SafetensorsException(file.path(), entry.getKey(), "is not there, but " + INDEX + " says so"
                        + NearNames.hint(entry.getKey(), file.infos().keySet()));
            }
            fileOf.put(entry.getKey(), file);
        }
        Map<String, TensorInfo> infos = new LinkedHashMap<>();
        files.values().forEach(file -> file.infos().forEach((name, info) -> {
            if (fileOf.get(name) == file) {
                infos.put(name, info);
            }
        }));
        return new Checkpoint(folder, Collections.unmodifiableMap(infos), files, fileOf);
    }

    private static SafetensorsException noWeights(Path folder) {
        if (!Files.isDirectory(folder)) {
            return new SafetensorsException(folder, Files.exists(folder) ? "is a file, it must be a model's folder" : "does not exist, it must be a model's folder");
        }
        if (Files.exists(folder.resolve("pytorch_model.bin")) || Files.exists(folder.resolve("pytorch_model.bin.index.json"))) {
            return new SafetensorsException(folder, "has its weights only as pytorch_model.bin, a Python pickle, which can run code when it"
                    + " is read; convert it to " + SINGLE + " first");
        }
        return new SafetensorsException(folder, "has neither " + SINGLE + " nor " + INDEX + ", a model's folder must have one of them");
    }

    @Override
    public Path path() {
        return folder;
    }

    /** The open files by name: one, or the shards. */
    public Map<String, SafetensorsFile> files() {
        return Collections.unmodifiableMap(files);
    }

    /** {@inheritDoc} Shard by shard in the order of their names; offsets are those within the shard. */
    @Override
    public Map<String, TensorInfo> infos() {
        return infos;
    }

    @Override
    public TensorView get(String name) throws SafetensorsException {
        SafetensorsFile file = fileOf.get(name);
        if (file == null) {
            throw new SafetensorsException(folder, name, "is not there" + NearNames.hint(name, infos.keySet()));
        }
        return file.get(name);
    }

    @Override
    public void close() {
        files.values().forEach(SafetensorsFile::close);
    }

    /** Such as {@code SmolLM2-135M: 272 tensors in 1 file, 269060160 bytes}. */
    @Override
    public String toString() {
        return folder.getFileName() + ": " + infos.size() + " tensors in " + files.size() + (files.size() == 1 ? " file, " : " files, ")
                + byteSize() + " bytes";
    }
}
