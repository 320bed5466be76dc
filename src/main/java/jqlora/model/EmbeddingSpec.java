package jqlora.model;

/**
 * What comes before the first layer.
 *
 * @param table name of the module
 * @param width of its rows; other than the hidden size only with {@code projectIn}
 * @param tieWordEmbeddings whether the output layer is the embedding table
 * @param scale what the rows of the table are multiplied by, once it is rounded to the compute type: 1, or the root of the hidden size (Gemma)
 * @param projectIn a linear layer behind the table (OPT-350); null for none
 * @param norm of the embedded tokens (BLOOM); null for none
 */
public record EmbeddingSpec(String table, int width, boolean tieWordEmbeddings, float scale, String projectIn, String norm) {
    EmbeddingSpec untied() {
        return new EmbeddingSpec(table, width, false, scale, projectIn, norm);
    }
}
