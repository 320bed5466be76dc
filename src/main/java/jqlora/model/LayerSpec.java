package jqlora.model;

/**
 * One layer of a decoder as data.
 *
 * @param prefix of all names below a layer, up to its number, such as {@code model.layers.}
 * @param branchScale factor of what a branch adds to the residual stream (Granite), usually 1
 */
public record LayerSpec(String prefix, Residual residual, float branchScale, AttentionSpec attention, MlpSpec mlp) {
    public LayerSpec(String prefix, Residual residual, AttentionSpec attention, MlpSpec mlp) {
        this(prefix, residual, 1, attention, mlp);
    }
}
