package jqlora.format;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Writes the weights of a model's folder as transformers' {@code save_pretrained} does: one file, or shards with an index, of which
 * none exceeds a size unless a single tensor does.
 *
 * <p>The file that makes a folder a checkpoint, {@code model.safetensors} or the index, is the last to appear and, where there is
 * an older one, the first to go, so a folder whose writing was interrupted is refused rather than read half.
 *
 * @see <a href="https://github.com/huggingface/transformers/blob/v5.17.0/src/transformers/modeling_utils.py">transformers 5.17.0, save_pretrained</a>
 * @see <a href="https://github.com/huggingface/huggingface_hub/blob/v1.33.0/src/huggingface_hub/serialization/_base.py">huggingface_hub, split_state_dict_into_shards_factory</a>
 */
public final class CheckpointWriter {
    /** transformers' default limit of a shard, in bytes. */
    public static final long MAX_SHARD_BYTES = 50_000_000_000L;

    private static final Pattern SHARD = Pattern.compile("model-\\d{5}-of-\\d{5}\\.safetensors");

    private CheckpointWriter() { }

    /**
     * Writes {@code tensors} into {@code folder}, which is made if it is not there; weights that were there before are replaced.
     *
     * @param tensors in the model's own order, which decides what goes into which shard
     * @param maxShardBytes the largest sum of tensor sizes in a shard, in bytes
     * @param totalParameters the model's number of parameters, for the index alone
     * @throws SafetensorsException as {@link SafetensorsWriter#write}
     */
    public static void write(Path folder, List<TensorSource> tensors, long maxShardBytes, long totalParameters) throws IOException {
        if (maxShardBytes < 1) {
            throw new IllegalArgumentException("maxShardBytes is " + maxShardBytes + ", it must be at least 1");
        }
        Files.createDirectories(folder);
        SafetensorsWriter.checkNames(folder, tensors);
        Map<String, List<TensorSource>> shards = named(split(tensors, maxShardBytes));
        List<PendingFile> pending = new ArrayList<>();
        try {
            for (Map.Entry<String, List<TensorSource>> shard : shards.entrySet()) {
                pending.add(SafetensorsWriter.prepare(folder.resolve(shard.getKey()), shard.getValue(), SafetensorsWriter.PT));
            }
            Files.deleteIfExists(folder.resolve(Checkpoint.INDEX));
            if (shards.size() > 1) {
                Files.deleteIfExists(folder.resolve(Checkpoint.SINGLE));
            }
            for (PendingFile file : pending) {
                file.commit();
            }
            if (shards.size() > 1) {
                PendingFile.replace(folder.resolve(Checkpoint.INDEX), index(shards, totalParameters));
            }
        } finally {
            for (PendingFile file : pending) {
                file.close();
            }
        }
        deleteOtherShards(folder, shards);
    }

    /** In the order given, a new shard whenever the next tensor would not fit; a tensor that fits nowhere gets a shard of its own. */
    private static List<List<TensorSource>> split(List<TensorSource> tensors, long maxShardBytes) {
        List<List<TensorSource>> shards = new ArrayList<>();
        List<TensorSource> current = new ArrayList<>();
        long size = 0;
        for (TensorSource tensor : tensors) {
            long bytes = tensor.byteSize();
            if (bytes > maxShardBytes) {
                shards.add(List.of(tensor));
                continue;
            }
            if (size + bytes > maxShardBytes) {
                shards.add(current);
                current = new ArrayList<>();
                size = 0;
            }
            current.add(tensor);
            size += bytes;
        }
        if (!current.isEmpty() || shards.isEmpty()) {
            shards.add(current);
        }
        return shards;
    }

    private static Map<String, List<TensorSource>> named(List<List<TensorSource>> shards) {
        Map<String, List<TensorSource>> named = new LinkedHashMap<>();
        for (List<TensorSource> shard : shards) {
            named.put(shards.size() == 1 ? Checkpoint.SINGLE
                    : String.format("model-%05d-of-%05d.safetensors", named.size() + 1, shards.size()), shard);
        }
        return named;
    }

    private static String index(Map<String, List<TensorSource>> shards, long totalParameters) {
        Map<String, Object> weightMap = new LinkedHashMap<>();
        long totalSize = 0;
        for (Map.Entry<String, List<TensorSource>> shard : shards.entrySet()) {
            for (TensorSource tensor : shard.getValue()) {
                weightMap.put(tensor.name(), shard.getKey());
                totalSize += tensor.byteSize();
            }
        }
        Map<String, Object> metadata = Map.of("total_parameters", totalParameters, "total_size", totalSize);
        return PythonJson.config().dumps(Map.of("metadata", metadata, "weight_map", weightMap)) + "\n";
    }

    private static void deleteOtherShards(Path folder, Map<String, ?> shards) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            for (Path file : files.toList()) {
                String name = file.getFileName().toString();
                if (SHARD.matcher(name).matches() && !shards.containsKey(name) && Files.isRegularFile(file)) {
                    Files.delete(file);
                }
            }
        }
    }
}
