package jqlora.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import jqlora.data.InstructionFile;
import jqlora.data.InstructionRow;
import jqlora.data.InstructionSet;
import jqlora.tensor.NearNames;

/** The rows that {@code --dataset} names. */
final class TrainingData {
    private static final int HELD_OUT = 1024;                     // qlora.py:94
    private static final long SPLIT_SEED = 42;                    // qlora.py:646

    private TrainingData() { }

    /**
     * Rows to train on and rows that are held out.
     *
     * @param shipped folder of the sets that ship with jqlora
     * @param evaluate whether rows of a file are held out
     * @throws IOException if nothing has that name, or a row is not as it must be
     */
    static InstructionSet read(DataSettings data, Path shipped, boolean evaluate) throws IOException {
        InstructionSet set = whole(data, shipped, evaluate);
        return set.first(data.maxTrainSamples() == null ? Integer.MAX_VALUE : data.maxTrainSamples(),
                !evaluate ? 0 : data.maxEvalSamples() == null ? Integer.MAX_VALUE : data.maxEvalSamples());
    }

    private static InstructionSet whole(DataSettings data, Path shipped, boolean evaluate) throws IOException {
        Path path = path(data.dataset());
        if (Files.isRegularFile(path)) {
            return split(String.valueOf(path.getFileName()), InstructionFile.read(path), data.evalDatasetSize(), evaluate);
        }
        if (Files.isDirectory(path) && !data.dataset().isBlank()) {
            return InstructionSet.read(path);
        }
        if (path.getNameCount() == 1 && Files.isRegularFile(shipped.resolve(path).resolve("train.jsonl"))) {
            return InstructionSet.read(shipped.resolve(path));
        }
        List<String> sets = sets(shipped);
        throw new IOException("--dataset is \"" + data.dataset() + "\", which is no file or folder here and no set that ships with jqlora ("
                + String.join(", ", sets) + ")" + NearNames.hint(data.dataset(), sets)
                + "; of a data set on the web download the json or jsonl file, with instruction, input and output, and give its path");
    }

    private static Path path(String dataset) throws IOException {
        try {
            return Path.of(dataset);
        } catch (InvalidPathException noPath) {
            throw new IOException("--dataset is \"" + dataset + "\", which is no name of a file: " + noPath.getReason(), noPath);
        }
    }

    private static InstructionSet split(String name, List<InstructionRow> rows, Integer asked, boolean evaluate) {
        int heldOut = !evaluate ? 0 : asked != null ? asked : Math.min(HELD_OUT, rows.size() / 10);
        if (heldOut >= rows.size()) {
            throw new IllegalArgumentException("--eval_dataset_size is " + heldOut + " and " + name + " has " + rows.size()
                    + " rows, it must leave at least one to train on; --do_eval false holds out none");
        }
        return InstructionSet.split(name, rows, heldOut, SPLIT_SEED);
    }

    private static List<String> sets(Path shipped) throws IOException {
        if (!Files.isDirectory(shipped)) {
            return List.of();
        }
        try (Stream<Path> children = Files.list(shipped)) {
            return children.filter(child -> Files.isRegularFile(child.resolve("train.jsonl"))).map(child -> child.getFileName().toString())
                    .sorted().toList();
        }
    }
}
