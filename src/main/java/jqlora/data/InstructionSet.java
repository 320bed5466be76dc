package jqlora.data;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.random.RandomGeneratorFactory;
import java.util.stream.Collectors;
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

    /**
     * {@code rows} in an order drawn by chance, the last {@code testRows} of them held out: the same each time for the same rows and seed. A row that occurs more
     * than once is trained on, never held out, so that no row is on both sides.
     *
     * @param testRows 0 to the number of rows less one
     * @throws IllegalArgumentException if there are too few rows for that, or too few that occur once; the message has the numbers
     */
    public static InstructionSet split(String name, List<InstructionRow> rows, int testRows, long seed) {
        if (testRows < 0 || testRows >= rows.size()) {
            throw new IllegalArgumentException(name + ": testRows is " + testRows + " and there are " + rows.size() + " rows, it must be at least 0 and leave one to train on");
        }
        List<InstructionRow> train = new ArrayList<>(rows), test = new ArrayList<>();
        Collections.shuffle(train, RandomGeneratorFactory.of("L64X128MixRandom").create(seed));
        Map<InstructionRow, Long> count = rows.stream().collect(Collectors.groupingBy(Function.identity(), Collectors.counting()));
        for (int i = train.size() - 1; i >= 0 && test.size() < testRows; i--) {
            if (count.get(train.get(i)) == 1) {
                test.add(train.remove(i));
            }
        }
        if (test.size() < testRows) {
            throw new IllegalArgumentException(name + ": testRows is " + testRows + ", but only " + test.size() + " of " + rows.size()
                    + " rows occur once; a row that occurs again is not held out");
        }
        return new InstructionSet(name, train, test);
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
