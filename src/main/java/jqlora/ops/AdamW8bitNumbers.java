package jqlora.ops;

/**
 * The numbers of a step as bitsandbytes' kernel has them: in float32 from the start, so that 1 - 0.999 is right to five digits only.
 *
 * @param scaledEps eps times the root of the second moment's bias correction
 * @param stepSize minus the learning rate times that root, divided by the first moment's correction
 * @param decay factor of the values after the update
 */
public record AdamW8bitNumbers(float beta1, float oneMinusBeta1, float beta2, float oneMinusBeta2, float scaledEps, float stepSize, float decay) {
    public static AdamW8bitNumbers of(AdamWStep step) {
        float beta1 = (float) step.beta1(), beta2 = (float) step.beta2(), learningRate = (float) step.learningRate();
        float correction1 = 1 - (float) Math.pow(beta1, step.step()), correction2 = (float) Math.sqrt(1 - (float) Math.pow(beta2, step.step()));
        return new AdamW8bitNumbers(beta1, 1 - beta1, beta2, 1 - beta2, correction2 * (float) step.eps(), -learningRate * correction2 / correction1,
                1 - learningRate * (float) step.weightDecay());
    }

    /** The factor of the gradients, of a norm in float64. */
    public static float clip(AdamWStep step, double norm) {
        return step.maxGradNorm() == 0 ? 1f : (float) Math.min(1, step.maxGradNorm() / (norm + 1e-6));
    }
}
