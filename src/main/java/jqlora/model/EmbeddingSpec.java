package jqlora.model;

/**
 * @param tieWordEmbeddings whether the output layer is the embedding table
 * @param scale what the rows of the table are multiplied by, once it is rounded to the compute type: 1, or the root of the hidden size (Gemma)
 */
public record EmbeddingSpec(boolean tieWordEmbeddings, float scale) { }
