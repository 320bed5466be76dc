package jqlora;

/**
 * How far a training whose products are rounded may stray from an exact one, from what is added up. Errors are taken as independent, so squares add.
 *
 * @param ofLogits what the logits are off by after one forward pass with the same weights, as a share of their length
 */
public record RoundedTraining(double ofLogits) {
    /** Rounding to e4m3 is off by 2.6 percent of a number, root mean square; a product has two factors. */
    public static final double E4M3 = 0.037;
    /** Rounding to bfloat16 is off by 0.11 percent: two factors, the result, and as much again in the rows between two products. */
    public static final double BFLOAT16 = 0.0011 * Math.sqrt(6);
    private static final double DEVIATIONS = 4;

    /**
     * Each product's error counts once in full: a layer's norm takes the scale out of what it reads, and a branch is a share of the stream that it joins.
     *
     * @param ofProduct what a product is off by, root mean square, as a share of its length
     * @param products of one forward pass
     */
    public static RoundedTraining ofProducts(double ofProduct, int products) {
        return new RoundedTraining(ofProduct * Math.sqrt(products));
    }

    /**
     * Of the distance that training moves the logits. AdamW's first steps go by the signs of the gradient, which is made by twice as many products as
     * the logits. One that is off by a share s of its length has atan(s) / pi of its signs turned, and a vector of signs of which a share p is turned is
     * off by 2 sqrt(p) of its length.
     */
    public double ofDistance() {
        return 2 * Math.sqrt(Math.atan(Math.sqrt(2) * ofLogits) / Math.PI);
    }

    /** Of the logits' length, after training. @param distance that the exact training moved them, as a share of their length */
    public double ofTrainedLogits(double distance) {
        return Math.hypot(ofLogits, distance * ofDistance());
    }

    /**
     * Of the mean loss of {@code labelled} tokens, absolute. The gradient of a token's loss with respect to its logits is a probability less one at the
     * label, at most sqrt(2) long.
     *
     * @param logits their root mean square
     */
    public double ofLoss(double distance, double logits, int labelled) {
        return DEVIATIONS * Math.sqrt(2) * ofTrainedLogits(distance) * logits / Math.sqrt(labelled);
    }
}
