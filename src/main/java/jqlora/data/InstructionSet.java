package jqlora.data;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/**
 * A named set of instruction rows, in two parts that share no row.
 *
 * @param train to train on
 * @param test held out
 */
public record InstructionSet(String name, List<InstructionRow> train, List<InstructionRow> test) {
    public InstructionSet {
        train = List.copyOf(train);
        test = List.copyOf(test);
    }

    /**
     * Reads {@code folder/train.jsonl} and {@code folder/test.jsonl}; the set has the folder's name.
     *
     * @throws IOException if a file is missing or malformed; for a missing folder the message lists the sets beside it
     */
    public static InstructionSet read(Path folder) throws IOException {
        if (!Files.isDirectory(folder)) {
            throw new IOException(folder + ": is not a folder" + beside(folder.toAbsolutePath().getParent()));
        }
        return new InstructionSet(folder.getFileName().toString(), InstructionFile.read(folder.resolve("train.jsonl")), InstructionFile.read(folder.resolve("test.jsonl")));
    }

    private static String beside(Path parent) throws IOException {
        if (parent == null || !Files.isDirectory(parent)) {
            return "";
        }
        try (var children = Files.list(parent)) {
            List<String> sets = children.filter(child -> Files.isRegularFile(child.resolve("train.jsonl"))).map(child -> child.getFileName().toString()).sorted().toList();
            return sets.isEmpty() ? "" : "; there are " + String.join(", ", sets);
        }
    }

    /** The first {@code trainRows} and {@code testRows} rows of this. */
    public InstructionSet first(int trainRows, int testRows) {
        return new InstructionSet(name, train.subList(0, Math.min(trainRows, train.size())), test.subList(0, Math.min(testRows, test.size())));
    }

    /** The rows of this, then those of {@code other}; named after both. A training shuffles them. */
    public InstructionSet and(InstructionSet other) {
        return new InstructionSet(name + " + " + other.name, Stream.concat(train.stream(), other.train.stream()).toList(), Stream.concat(test.stream(), other.test.stream()).toList());
    }

    /** Columns of both parts that hold something and are not read. */
    public UnreadColumns unread() {
        return UnreadColumns.of(Stream.concat(train.stream(), test.stream()).toList());
    }

    /** Such as {@code zh-riddles: 973 rows, 100 held out}, and the columns that are not read. */
    @Override
    public String toString() {
        return name + ": " + train.size() + " rows, " + test.size() + " held out" + (unread().isEmpty() ? "" : "; not read: " + unread());
    }
}
