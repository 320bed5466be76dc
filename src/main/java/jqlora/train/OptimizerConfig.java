package jqlora.train;

import java.util.Objects;

/**
 * AdamW.
 *
 * @param optim how its moments are kept, and where
 * @param weightDecay taken off matrices and adapters each step, times the learning rate; norms and biases are never decayed
 * @param maxGradNorm gradients are scaled down to this norm; 0 for no clipping
 */
public record OptimizerConfig(Optim optim, double beta1, double beta2, double eps, double weightDecay, double maxGradNorm) {
    public OptimizerConfig {
        Objects.requireNonNull(optim, "optim");
        if (!(beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1 && eps > 0 && weightDecay >= 0 && maxGradNorm >= 0)) {
            throw new IllegalArgumentException("optimizer: beta1 " + beta1 + ", beta2 " + beta2 + ", eps " + eps + ", weightDecay " + weightDecay + ", maxGradNorm "
                    + maxGradNorm + " must be in [0, 1), in [0, 1), positive, and at least 0");
        }
    }

    /** qlora.py:198-205 with PyTorch's betas and eps: moments in 32 bits, no decay, clipped at 0.3. */
    public static OptimizerConfig defaults() {
        return new OptimizerConfig(Optim.ADAMW_32BIT, 0.9, 0.999, 1e-8, 0, 0.3);
    }

    public OptimizerConfig withOptim(Optim optim) {
        return new OptimizerConfig(optim, beta1, beta2, eps, weightDecay, maxGradNorm);
    }

    public OptimizerConfig withWeightDecay(double weightDecay) {
        return new OptimizerConfig(optim, beta1, beta2, eps, weightDecay, maxGradNorm);
    }

    public OptimizerConfig withMaxGradNorm(double maxGradNorm) {
        return new OptimizerConfig(optim, beta1, beta2, eps, weightDecay, maxGradNorm);
    }
}
