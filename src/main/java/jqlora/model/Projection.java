package jqlora.model;

/** A linear layer of a spec. @param name below the layer, such as {@code self_attn.q_proj} */
public record Projection(String name, boolean bias) { }
