package jqlora.ops;

import java.util.List;
import jqlora.tensor.Shape;

/**
 * RMS normalisation of queries and keys before the rotation.
 *
 * @param query [headDim], or [query columns] across heads
 * @param key [headDim], or [key columns] across heads
 * @param acrossHeads whether all heads of a row are normalised as one vector (OLMo 2), not each by itself (Qwen3)
 */
public record HeadNorms(Norm.Rms query, Norm.Rms key, boolean acrossHeads) {
    public List<Parameter> parameters() {
        return List.of(query.weight(), key.weight());
    }

    /** The shape of what the forward leaves for the backward, F32. */
    public Shape statistics(AttentionShape shape, long rows) {
        return Shape.of(rows, acrossHeads ? 2 : shape.numAttentionHeads() + shape.numKeyValueHeads());
    }
}
