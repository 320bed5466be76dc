package jqlora.lora;

import java.util.Objects;

/**
 * Which modules are adapted, and how: {@code y = W x + scaling B A x}, scaling = loraAlpha / r, or loraAlpha / sqrt(r) with
 * useRslora. The names are PEFT's.
 *
 * @param r inner size of A [r, in] and B [out, r]; at least 1
 * @param loraAlpha numerator of the scaling
 * @param loraDropout probability in [0, 1) of zeroing an element of x before A, in training
 * @param useRslora whether the scaling is divided by the root of r
 * @param limits what is taken out of the targets again
 * @param patterns other ranks and alphas for some modules
 * @see <a href="https://arxiv.org/abs/2106.09685">LoRA</a>
 * @see <a href="https://arxiv.org/abs/2312.03732">rank stabilisation</a>
 */
public record LoraConfig(int r, double loraAlpha, float loraDropout, boolean useRslora, TargetModules targetModules, TargetLimits limits,
        RankPatterns patterns) {
    public LoraConfig {
        if (r < 1) {
            throw new IllegalArgumentException("r must be at least 1, got " + r);
        }
        if (!(loraAlpha > 0 && Double.isFinite(loraAlpha))) {
            throw new IllegalArgumentException("loraAlpha must be positive, got " + loraAlpha);
        }
        if (!(loraDropout >= 0 && loraDropout < 1)) {
            throw new IllegalArgumentException("loraDropout must be in [0, 1), got " + loraDropout);
        }
        Objects.requireNonNull(targetModules, "targetModules");
        Objects.requireNonNull(limits, "limits");
        Objects.requireNonNull(patterns, "patterns");
    }

    /** QLoRA paper, appendix B, 7B and 13B: r 64, alpha 16, dropout 0.1, every linear layer. */
    public static LoraConfig defaults() {
        return new LoraConfig(64, 16, 0.1f, false, new TargetModules.AllLinear(), TargetLimits.none(), RankPatterns.none());
    }

    public LoraConfig withR(int r) {
        return new LoraConfig(r, loraAlpha, loraDropout, useRslora, targetModules, limits, patterns);
    }

    public LoraConfig withLoraAlpha(double loraAlpha) {
        return new LoraConfig(r, loraAlpha, loraDropout, useRslora, targetModules, limits, patterns);
    }

    public LoraConfig withLoraDropout(float loraDropout) {
        return new LoraConfig(r, loraAlpha, loraDropout, useRslora, targetModules, limits, patterns);
    }

    public LoraConfig withUseRslora(boolean useRslora) {
        return new LoraConfig(r, loraAlpha, loraDropout, useRslora, targetModules, limits, patterns);
    }

    public LoraConfig withTargetModules(TargetModules targetModules) {
        return new LoraConfig(r, loraAlpha, loraDropout, useRslora, targetModules, limits, patterns);
    }

    /** Targets by name, such as {@code withTargetModules("q_proj", "v_proj")}. */
    public LoraConfig withTargetModules(String... names) {
        return withTargetModules(TargetModules.names(names));
    }

    public LoraConfig withLimits(TargetLimits limits) {
        return new LoraConfig(r, loraAlpha, loraDropout, useRslora, targetModules, limits, patterns);
    }

    public LoraConfig withPatterns(RankPatterns patterns) {
        return new LoraConfig(r, loraAlpha, loraDropout, useRslora, targetModules, limits, patterns);
    }

    /** Whether {@code module} gets an adapter.
     * @param innerLinear whether it is a linear layer and not the output layer */
    public boolean adapts(String module, boolean innerLinear) {
        return adapts(targetModules, module, innerLinear);
    }

    boolean adapts(TargetModules targets, String module, boolean innerLinear) {
        if (limits.excludes(module) || !targets.matches(module, innerLinear)) {
            return false;
        }
        // a full name in the list holds whatever its layer, as in PEFT
        return !(targets instanceof TargetModules.Names(var names)) || names.contains(module) || limits.hasLayer(module);
    }

    /** The rank of {@code module}. */
    public int rOf(String module) {
        return patterns.r(module, r);
    }

    /** The factor of {@code module}'s update. */
    public double scalingOf(String module) {
        int rank = rOf(module);
        return patterns.alpha(module, loraAlpha) / (useRslora ? Math.sqrt(rank) : rank);
    }

    /** Such as {@code r 8, alpha 16, q_proj, v_proj}. */
    @Override
    public String toString() {
        String alpha = loraAlpha == Math.rint(loraAlpha) ? Long.toString((long) loraAlpha) : Double.toString(loraAlpha);
        return "r " + r + ", alpha " + alpha + (loraDropout > 0 ? ", dropout " + loraDropout : "") + (useRslora ? ", rslora" : "") + ", " + targetModules.text();
    }
}
