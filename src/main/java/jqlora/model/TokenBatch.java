package jqlora.model;

import java.util.Arrays;
import jqlora.ops.Sequences;

/** Token ids of several sequences, one after the other, and for each the id that it must predict. */
public final class TokenBatch {
    /** Label of a token that is not trained on, as in PyTorch. */
    public static final int IGNORE = -100;

    private final int[] inputIds;
    private final int[] targets;
    private final Sequences sequences;

    private TokenBatch(int[] inputIds, int[] targets, Sequences sequences) {
        this.inputIds = inputIds;
        this.targets = targets;
        this.sequences = sequences;
    }

    /**
     * A batch with labels in transformers' sense: {@code labels[i]} is the id of token i itself, or {@value #IGNORE}; the model
     * predicts it from the token before.
     *
     * @param inputIds [rows]
     * @param labels [rows]
     */
    public static TokenBatch of(int[] inputIds, int[] labels, Sequences sequences) {
        requireRows("inputIds", inputIds, sequences);
        requireRows("labels", labels, sequences);
        int[] targets = new int[labels.length];
        for (int i = 0; i < sequences.count(); i++) {
            int end = sequences.start(i + 1);
            System.arraycopy(labels, sequences.start(i) + 1, targets, sequences.start(i), sequences.length(i) - 1);
            targets[end - 1] = IGNORE;
        }
        return new TokenBatch(inputIds.clone(), targets, sequences);
    }

    /** A batch without labels. */
    public static TokenBatch unlabelled(int[] inputIds, Sequences sequences) {
        requireRows("inputIds", inputIds, sequences);
        int[] targets = new int[inputIds.length];
        Arrays.fill(targets, IGNORE);
        return new TokenBatch(inputIds.clone(), targets, sequences);
    }

    private static void requireRows(String what, int[] array, Sequences sequences) {
        if (array.length != sequences.rows()) {
            throw new IllegalArgumentException("batch: " + what + " has " + array.length + " elements, the sequences have " + sequences.rows());
        }
    }

    /**
     * @throws IllegalArgumentException if a token or a label is not an id of {@code model}'s embedding; before anything is computed
     */
    void requireIds(CausalLm model) {
        TokenIds.require(model, "batch: inputIds", inputIds, Integer::toString);
        for (int i = 0; i < targets.length; i++) {
            if (targets[i] != IGNORE && (targets[i] < 0 || targets[i] >= model.spec().vocabSize())) {
                throw new IllegalArgumentException("batch: the label at place " + (i + 2) + " is " + targets[i]
                        + ", it must be a token's id, below the " + model.spec().vocabSize()
                        + " rows of the model's embedding, or " + IGNORE + " where nothing is trained");
            }
        }
    }

    public Sequences sequences() {
        return sequences;
    }

    public int rows() {
        return inputIds.length;
    }

    /** Rows that have a target: the tokens that the loss counts. */
    public int labelledTokens() {
        int count = 0;
        for (int target : targets) {
            count += target == IGNORE ? 0 : 1;
        }
        return count;
    }

    int[] inputIds() {
        return inputIds;
    }

    int[] targets() {
        return targets;
    }

    /** Such as {@code 4 sequences, 312 tokens, 96 labelled}. */
    @Override
    public String toString() {
        return sequences + ", " + labelledTokens() + " labelled";
    }
}
