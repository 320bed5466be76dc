package jqlora.ops;

import java.util.List;
import jqlora.tensor.Tensor;

/** What changes weights: steps of optimizers, and merges. */
public interface UpdateOps {
    /**
     * The Euclidean norm of all gradients together.
     *
     * @param norm F64 [1], overwritten
     */
    void gradientNorm(List<Parameter> parameters, Tensor norm);

    /**
     * One AdamW step in PyTorch's order: decay, moments, update. Moments that were offloaded stay so: they pass through the backend's memory, with the same
     * result.
     *
     * @param norm F64 [1], as {@link #gradientNorm} wrote it
     * @see <a href="https://arxiv.org/abs/1711.05101">Decoupled weight decay regularization</a>
     */
    void adamW(List<AdamWState> states, AdamWStep step, Tensor norm);

    /**
     * One step of bitsandbytes' 8-bit AdamW in its order: moments from their codes, update from the moments before they are rounded, decay, moments to
     * their codes. An element whose gradient is not finite keeps its value and loses its moments. Every backend gives the same bits; moments that were
     * offloaded stay so, as in {@link #adamW}.
     *
     * @param norm F64 [1], as {@link #gradientNorm} wrote it
     * @see <a href="https://arxiv.org/abs/2110.02861">8-bit optimizers via block-wise quantization</a>
     * @see <a href="https://github.com/bitsandbytes-foundation/bitsandbytes/blob/95f9af30/csrc/kernels.cu">bitsandbytes kernels.cu:914-1147</a>
     */
    void adamW8bit(List<AdamW8bitState> states, AdamWStep step, Tensor norm);

    /** Overwrites the gradients of {@code parameters} with zeros. */
    void zeroGradients(List<Parameter> parameters);

    /**
     * The weight with an adapter's update in it: {@code W + scaling B A} in float32, the products summed over the rank in order by fused multiply-adds,
     * then scaled, then added to W as {@link Store#toFloat} gives it. Every backend gives the same bytes.
     *
     * @param layer its name, without {@code .weight}
     * @param base [outFeatures, inFeatures], read
     * @return new, the caller's; {@code base} stays as it is
     * @throws IllegalArgumentException if an element of the sum is not finite
     */
    Weight merge(String layer, Weight base, LoraFactors factors, MergedStorage storage);
}
