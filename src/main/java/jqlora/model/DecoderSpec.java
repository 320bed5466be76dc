package jqlora.model;

import java.util.List;
import jqlora.ops.AttentionShape;

/**
 * A decoder as data, from {@code config.json} alone.
 *
 * @param modelType {@code model_type} of the config, such as {@code llama}
 * @param transposed whether the checkpoint has the layers' linear weights as [inFeatures, outFeatures] (GPT-2)
 * @param buffers ends of names that checkpoints may carry and nobody reads, such as masks
 */
public record DecoderSpec(String modelType, int vocabSize, int hiddenSize, int numHiddenLayers, EmbeddingSpec embedding, LayerSpec layer, NormSpec norm,
        OutputSpec output, boolean transposed, List<String> buffers) {
    public DecoderSpec {
        buffers = List.copyOf(buffers);
        if (vocabSize < 1 || hiddenSize < 1 || numHiddenLayers < 1) {
            throw new IllegalArgumentException("decoder: vocabSize " + vocabSize + ", hiddenSize " + hiddenSize + ", numHiddenLayers "
                    + numHiddenLayers + " must all be at least 1");
        }
        if (layer.attention().slidingWindows().size() != numHiddenLayers) {
            throw new IllegalArgumentException("decoder: " + layer.attention().slidingWindows().size() + " sliding windows for "
                    + numHiddenLayers + " layers, there must be one each");
        }
    }

    public AttentionSpec attention() {
        return layer.attention();
    }

    public MlpSpec mlp() {
        return layer.mlp();
    }

    /** Whether the output layer is the embedding table. */
    public boolean tieWordEmbeddings() {
        return embedding.tieWordEmbeddings();
    }

    /** This with an output layer of its own. */
    DecoderSpec untied() {
        return new DecoderSpec(modelType, vocabSize, hiddenSize, numHiddenLayers, embedding.untied(), layer, norm, output, transposed, buffers);
    }

    /** The attention of layer {@code layer}, from 0. */
    public AttentionShape attentionShape(int layer) {
        return attention().shape(layer);
    }

    /** Whether a checkpoint has tensor {@code name}, of rank 2, with rows and columns exchanged. */
    boolean isTransposed(String name) {
        return transposed && name.startsWith(layer.prefix());
    }

    /** What all names but the output layer's begin with, and what checkpoints of the bare model leave out: {@code model.} or {@code transformer.}. */
    String basePrefix() {
        return layer.prefix().substring(0, layer.prefix().indexOf('.') + 1);
    }

    /**
     * Refuses what lies beyond a table of positions.
     *
     * @throws IllegalArgumentException if a sequence is longer than positions were learned
     */
    void requirePositions(int length) {
        if (attention().positions() instanceof Positions.Learned learned && length > learned.count()) {
            throw new IllegalArgumentException("positions: a sequence has " + length + " tokens, " + modelType + " has learned " + learned.count()
                    + " positions and there are none beyond; shorten the sequence (maxLength, or fewer new tokens)");
        }
    }

    /** Such as {@code llama, 30 layers, hidden 576}. */
    @Override
    public String toString() {
        return modelType + ", " + numHiddenLayers + " layers, hidden " + hiddenSize;
    }
}
