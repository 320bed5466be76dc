package jqlora.model;

import jqlora.ops.AttentionShape;

/**
 * The shape of a decoder, from {@code config.json} alone.
 *
 * @param modelType {@code model_type} of the config, such as {@code llama}
 */
public record DecoderSpec(String modelType, int vocabSize, int hiddenSize, int numHiddenLayers, AttentionSpec attention, MlpSpec mlp,
        NormSpec norm, EmbeddingSpec embedding) {
    public DecoderSpec {
        if (vocabSize < 1 || hiddenSize < 1 || numHiddenLayers < 1) {
            throw new IllegalArgumentException("decoder: vocabSize " + vocabSize + ", hiddenSize " + hiddenSize + ", numHiddenLayers "
                    + numHiddenLayers + " must all be at least 1");
        }
        if (attention.slidingWindows().size() != numHiddenLayers) {
            throw new IllegalArgumentException("decoder: " + attention.slidingWindows().size() + " sliding windows for "
                    + numHiddenLayers + " layers, there must be one each");
        }
    }

    /** Whether the output layer is the embedding table. */
    public boolean tieWordEmbeddings() {
        return embedding.tieWordEmbeddings();
    }

    /** This with an output layer of its own. */
    DecoderSpec untied() {
        return new DecoderSpec(modelType, vocabSize, hiddenSize, numHiddenLayers, attention, mlp, norm, new EmbeddingSpec(false, embedding.scale()));
    }

    /** The attention of layer {@code layer}, from 0. */
    public AttentionShape attentionShape(int layer) {
        return new AttentionShape(attention.numAttentionHeads(), attention.numKeyValueHeads(), attention.headDim(),
                attention.slidingWindows().get(layer), (float) (1 / Math.sqrt(attention.headDim())));
    }

    /** Such as {@code llama, 30 layers, hidden 576}. */
    @Override
    public String toString() {
        return modelType + ", " + numHiddenLayers + " layers, hidden " + hiddenSize;
    }
}
