package jqlora.ops;

import jqlora.tensor.Tensor;

/**
 * An input and the linear layers that read it: {@code y_i = W_i x + bias_i + scaling_i B_i A_i dropout_i(x)} with x what {@code input} stands for. A branch of a decoder layer is a chain of
 * links, each but the first reading what the one before it gives.
 *
 * @param inner the compute type, [rows, rank of the group]: the forward overwrites it with {@code A_i dropout_i(x)}, the backward reads it; null when no layer
 *     has an adapter
 */
public record Link(Input input, LinearGroup group, Tensor inner) { }
