package jqlora.ops;

/** The gate of a gated MLP. */
public enum Activation {
    /** x sigmoid(x), also called swish; its MLP is SwiGLU. */
    SILU
}
