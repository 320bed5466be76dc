package jqlora.model;

/** How the two branches of a layer are joined with the residual stream. */
public enum Residual {
    /** {@code m = x + attention(x); y = m + mlp(m)}. */
    SEQUENTIAL,
    /** {@code y = x + attention(x) + mlp(x)} (GPT-J, GPT-NeoX, Falcon, Phi); the branches may share a norm. */
    PARALLEL
}
