package jqlora.model;

/**
 * What comes after the last layer.
 *
 * @param norm null for none (OPT-350)
 * @param projectOut a linear layer before the output layer (OPT-350); null for none
 * @param head the output layer
 * @param scale factor of the scores
 * @param softCap of the scores (Gemma 2); 0 for none
 */
public record OutputSpec(String norm, String projectOut, Projection head, float scale, float softCap) {
    /** A norm and a linear layer. */
    public static OutputSpec of(String norm, String head) {
        return new OutputSpec(norm, null, new Projection(head, false), 1, 0);
    }
}
