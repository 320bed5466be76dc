package jqlora.model;

/**
 * Where a branch of a layer is normalised; names below the layer, null for no norm.
 *
 * @param before of what the branch reads
 * @param after of what the branch gives, before the residual is added (Gemma 2)
 * @param afterSum of the sum with the residual (OPT-350)
 */
public record BranchNorms(String before, String after, String afterSum) {
    public BranchNorms {
        if (after != null && afterSum != null) {
            throw new IllegalArgumentException("norms: " + after + " and " + afterSum + " stand behind one branch, there can be one");
        }
    }

    /** As most families have it. */
    public static BranchNorms before(String name) {
        return new BranchNorms(name, null, null);
    }
}
