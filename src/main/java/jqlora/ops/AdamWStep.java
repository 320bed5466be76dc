package jqlora.ops;

/**
 * The numbers of one AdamW step, the same for all parameters of a group.
 *
 * @param step number of this step, from 1
 * @param maxGradNorm gradients are scaled by min(1, maxGradNorm / (norm + 1e-6)); 0 leaves them as they are
 */
public record AdamWStep(int step, double learningRate, double beta1, double beta2, double eps, double weightDecay, double maxGradNorm) {
    public AdamWStep {
        if (step < 1) {
            throw new IllegalArgumentException("AdamW: step is " + step + ", it must be at least 1");
        }
    }
}
