package jqlora.inspect;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import jqlora.format.BitsAndBytesState;
import jqlora.format.Checkpoint;
import jqlora.format.SafetensorsException;
import jqlora.tensor.TensorView;
import tech.tablesaw.api.DoubleColumn;
import tech.tablesaw.api.StringColumn;
import tech.tablesaw.api.Table;

/** What differs between the weights of two model folders, tensor by tensor. A weight in bitsandbytes' 4 bits is one tensor, and is compared by what it decodes to. */
public record CheckpointDiff(List<Row> rows) {
    public CheckpointDiff {
        rows = List.copyOf(rows);
    }

    /** What became of a tensor. */
    public enum Change {
        /** Every number is equal. */
        SAME,
        /** Some numbers differ. */
        CHANGED,
        /** Its shape is another one, its numbers were not compared. */
        RESHAPED,
        /** Only the second folder has it. */
        ADDED,
        /** Only the first folder has it. */
        REMOVED
    }

    /**
     * @param before how it is stored in the first folder, such as {@code BF16 [256, 256]}; empty where it is not there
     * @param after how it is stored in the second
     * @param relative norm of the difference against the norm of the numbers before; NaN where they were not compared
     * @param largest difference of one number; NaN where they were not compared
     * @param unchanged share of equal numbers; NaN where they were not compared
     */
    public record Row(String tensor, Change change, String before, String after, double relative, double largest, double unchanged) { }

    /**
     * Compares the weights in two folders.
     *
     * @throws IOException if a folder has no weights, or a 4-bit weight is not as it must be
     * @throws IllegalArgumentException if a tensor of both folders has other bytes and a type that is not read as numbers
     */
    public static CheckpointDiff of(Path before, Path after) throws IOException {
        try (Checkpoint first = Checkpoint.open(before); Checkpoint second = Checkpoint.open(after)) {
            List<String> had = BitsAndBytesState.parameters(first), has = BitsAndBytesState.parameters(second);
            Set<String> names = new LinkedHashSet<>(had);
            names.addAll(has);
            List<Row> rows = new ArrayList<>();
            for (String name : names) {
                rows.add(row(name, had.contains(name) ? StoredTensor.of(first, name) : null, has.contains(name) ? StoredTensor.of(second, name) : null));
            }
            return new CheckpointDiff(rows);
        }
    }

    /**
     * The difference of one tensor, {@code after - before}.
     *
     * @param tensor such as {@code model.layers.0.self_attn.q_proj.weight}
     * @return F32, a copy
     * @throws IOException if a folder lacks it, or its shapes differ
     * @throws IllegalArgumentException if its type is not read as numbers
     */
    public static TensorView difference(Path before, Path after, String tensor) throws IOException {
        try (Checkpoint first = Checkpoint.open(before); Checkpoint second = Checkpoint.open(after)) {
            StoredTensor old = StoredTensor.of(first, tensor), now = StoredTensor.of(second, tensor);
            if (!old.shape().equals(now.shape())) {
                throw new SafetensorsException(after, tensor, "has shape " + now.shape() + ", in " + before + " it is " + old.shape() + "; they must be equal");
            }
            float[] numbers = now.numbers();
            float[] earlier = old.numbers();
            for (int i = 0; i < numbers.length; i++) {
                numbers[i] -= earlier[i];
            }
            return TensorView.ofFloats(numbers, now.shape().toArray());
        }
    }

    private static Row row(String name, StoredTensor before, StoredTensor after) {
        if (before == null || after == null) {
            return new Row(name, before == null ? Change.ADDED : Change.REMOVED, before == null ? "" : before.text(), after == null ? "" : after.text(), Double.NaN, Double.NaN, Double.NaN);
        }
        if (!before.shape().equals(after.shape())) {
            return new Row(name, Change.RESHAPED, before.text(), after.text(), Double.NaN, Double.NaN, Double.NaN);
        }
        if (before.hasSameBytes(after)) {
            return new Row(name, Change.SAME, before.text(), after.text(), 0, 0, 1);
        }
        float[] old = before.numbers(), now = after.numbers();
        double squares = 0, changes = 0, largest = 0;
        long same = 0;
        for (int i = 0; i < old.length; i++) {
            double change = (double) now[i] - old[i];
            squares += (double) old[i] * old[i];
            changes += change * change;
            largest = Math.max(largest, Math.abs(change));
            same += change == 0 ? 1 : 0;
        }
        double relative = changes == 0 ? 0 : Math.sqrt(changes / squares);
        return new Row(name, changes == 0 ? Change.SAME : Change.CHANGED, before.text(), after.text(), relative, largest, old.length == 0 ? 1 : (double) same / old.length);
    }

    /** All that is not the same. */
    public List<Row> changed() {
        return rows.stream().filter(row -> row.change != Change.SAME).toList();
    }

    /** A row for each tensor that is not the same. */
    public Table table() {
        StringColumn tensors = StringColumn.create("tensor"), changes = StringColumn.create("change"), before = StringColumn.create("before"), after = StringColumn.create("after");
        DoubleColumn relative = Shares.column("relative", 2), largest = DoubleColumn.create("largest"), unchanged = Shares.column("equal numbers", 1);
        for (Row row : changed()) {
            tensors.append(row.tensor);
            changes.append(row.change.name().toLowerCase(Locale.ROOT));
            before.append(row.before);
            after.append(row.after);
            relative.append(row.relative);
            largest.append(row.largest);
            unchanged.append(row.unchanged);
        }
        return Table.create(toString(), tensors, changes, before, after, relative, largest, unchanged);
    }

    /** Such as {@code 74 tensors: 16 changed, 58 same}. */
    @Override
    public String toString() {
        List<String> parts = new ArrayList<>();
        for (Change change : List.of(Change.CHANGED, Change.RESHAPED, Change.ADDED, Change.REMOVED, Change.SAME)) {
            long count = rows.stream().filter(row -> row.change == change).count();
            if (count > 0) {
                parts.add(count + " " + change.name().toLowerCase(Locale.ROOT));
            }
        }
        return rows.size() + " tensors: " + String.join(", ", parts);
    }
}
