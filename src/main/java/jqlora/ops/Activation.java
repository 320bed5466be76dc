package jqlora.ops;

/** The nonlinearity of an MLP. */
public enum Activation {
    /** x sigmoid(x), also called swish; its MLP is SwiGLU. */
    SILU,
    /**
     * x Phi(x), Phi the normal distribution's cumulative function; its MLP is GeGLU.
     *
     * @see <a href="https://arxiv.org/abs/1606.08415">Gaussian error linear units</a>
     */
    GELU,
    /** GELU's approximation 0.5 x (1 + tanh(u)) with u = sqrt(2 / pi) (x + 0.044715 x^3), which is x sigmoid(2 u). */
    GELU_TANH,
    /** max(x, 0). */
    RELU,
    /** max(x, 0)^2. */
    RELU_SQUARED
}
