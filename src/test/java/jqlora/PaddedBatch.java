package jqlora;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import jqlora.data.TokenizedRow;
import jqlora.format.SafetensorsFile;
import jqlora.model.TokenBatch;
import jqlora.ops.Sequences;
import jqlora.tensor.TensorView;

/** A right-padded batch of the reference data, without the padding. */
public final class PaddedBatch {
    private final int[] ids;
    private final int[] labels;
    private final int[] kept;
    private final Sequences sequences;

    private PaddedBatch(int[] ids, int[] labels, int[] kept, Sequences sequences) {
        this.ids = ids;
        this.labels = labels;
        this.kept = kept;
        this.sequences = sequences;
    }

    /** The batch under {@code prefix + input_ids}, {@code attention_mask} and {@code labels}. */
    public static PaddedBatch of(SafetensorsFile file, String prefix) throws IOException {
        TensorView tensor = file.get(prefix + "input_ids");
        int[] mask = file.get(prefix + "attention_mask").toInts(), ids = tensor.toInts(), labels = file.get(prefix + "labels").toInts();
        int rows = (int) tensor.shape().dim(0), length = (int) tensor.shape().dim(1);
        int[] lengths = IntStream.range(0, rows).map(row -> Arrays.stream(mask, row * length, (row + 1) * length).sum()).toArray();
        int[] kept = IntStream.range(0, mask.length).filter(i -> mask[i] != 0).toArray();
        return new PaddedBatch(Arrays.stream(kept).map(i -> ids[i]).toArray(), Arrays.stream(kept).map(i -> labels[i]).toArray(), kept, Sequences.ofLengths(lengths));
    }

    /** The sequences of a batch one by one, each labelled from its first label on. */
    public static List<TokenizedRow> rows(SafetensorsFile file, String prefix) throws IOException {
        PaddedBatch batch = of(file, prefix);
        List<TokenizedRow> rows = new ArrayList<>();
        for (int i = 0; i < batch.sequences.count(); i++) {
            int from = batch.sequences.start(i), to = batch.sequences.start(i + 1);
            int labelledFrom = IntStream.range(from, to).filter(at -> batch.labels[at] != TokenizedRow.IGNORE).findFirst().orElse(to);
            rows.add(new TokenizedRow(Arrays.copyOfRange(batch.ids, from, to), labelledFrom - from));
        }
        return rows;
    }

    public int[] ids() {
        return ids;
    }

    public Sequences sequences() {
        return sequences;
    }

    public TokenBatch tokens() {
        return TokenBatch.of(ids, labels, sequences);
    }

    /** The rows of [sequences, length, columns] that are not padding. */
    public float[] realRows(TensorView tensor) {
        float[] all = tensor.toFloats();
        int columns = (int) tensor.shape().dim(-1);
        float[] rows = new float[kept.length * columns];
        for (int i = 0; i < kept.length; i++) {
            System.arraycopy(all, kept[i] * columns, rows, i * columns, columns);
        }
        return rows;
    }
}
