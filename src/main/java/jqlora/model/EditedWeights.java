package jqlora.model;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import jqlora.format.BitsAndBytesState;
import jqlora.format.Checkpoint;
import jqlora.format.SafetensorsException;
import jqlora.format.SafetensorsWriter;
import jqlora.format.TensorSource;
import jqlora.tensor.Shape;
import jqlora.tensor.TensorView;

/**
 * A copy of a model's folder in which the linear weights of the layers are other numbers: what would become of the model if its weights were rounded so, cut so,
 * disturbed so? Everything else is copied as it is.
 */
@FunctionalInterface
public interface EditedWeights {
    /**
     * What stands in place of a weight.
     *
     * @param name such as {@code model.layers.0.self_attn.q_proj.weight}
     * @param weight [outFeatures, inFeatures], a copy that may be changed
     * @return as many numbers
     */
    float[] edit(String name, TensorView weight);

    /**
     * Writes the copy; edited weights are in float32.
     *
     * @param source a model's folder, its weights not in 4 bits
     * @param target another folder; made if it is not there
     * @return {@code target}
     * @throws IOException if a file cannot be read or written, the weights are in 4 bits already, or both folders are the same
     * @throws IllegalArgumentException if an edit returns fewer or more numbers than there were
     */
    default Path write(Path source, Path target) throws IOException {
        if (Files.isDirectory(target) && Files.isSameFile(source, target)) {
            throw new IOException(target + ": is the folder that the weights come from, it must be another one");
        }
        try (Checkpoint checkpoint = Checkpoint.open(source)) {
            List<TensorSource> tensors = new ArrayList<>();
            for (String name : checkpoint.infos().keySet()) {
                if (BitsAndBytesState.isFourBit(checkpoint, name)) {
                    throw new SafetensorsException(checkpoint.path(), name, "is in 4 bits; weights can be edited where they are numbers, take the model that it was made from");
                }
                TensorView tensor = checkpoint.get(name);
                tensors.add(TensorSource.of(name, isLayersLinear(name, tensor.shape()) ? edited(name, tensor) : tensor));
            }
            Files.createDirectories(target);
            SafetensorsWriter.write(target.resolve(Checkpoint.SINGLE), tensors, SafetensorsWriter.PT);
        }
        try (Stream<Path> files = Files.list(source)) {
            for (Path file : files.filter(EditedWeights::isCopied).toList()) {
                Files.write(target.resolve(file.getFileName()), Files.readAllBytes(file));
            }
        }
        return target;
    }

    private TensorView edited(String name, TensorView tensor) {
        long[] shape = tensor.shape().toArray();
        float[] numbers = edit(name, TensorView.ofFloats(tensor.toFloats(), shape));
        if (numbers.length != tensor.shape().size()) {
            throw new IllegalArgumentException("edit of " + name + ": returned " + numbers.length + " numbers, the weight " + tensor.shape() + " has " + tensor.shape().size());
        }
        return TensorView.ofFloats(numbers, shape);
    }

    private static boolean isLayersLinear(String name, Shape shape) {
        return shape.rank() == 2 && name.matches("(.*\\.)?(layers|h|blocks)\\.\\d+\\..*weight");
    }

    /** Configuration and tokenizer; weights in other formats, and the index of several files, are not those of the copy. */
    private static boolean isCopied(Path file) {
        String name = file.getFileName().toString();
        return Files.isRegularFile(file) && (name.endsWith(".json") || name.endsWith(".txt") || name.endsWith(".model") || name.endsWith(".jinja"))
                && !name.equals(Checkpoint.INDEX);
    }
}
