package jqlora.model;

/** One layer of a decoder as data. @param prefix of all names below a layer, up to its number, such as {@code model.layers.} */
public record LayerSpec(String prefix, Residual residual, AttentionSpec attention, MlpSpec mlp) { }
