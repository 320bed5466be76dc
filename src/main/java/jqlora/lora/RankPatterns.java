package jqlora.lora;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Other ranks and alphas for some modules. A key is a regular expression that must match the end of the module's name, whole components; the
 * first that matches holds.
 *
 * @param rankPattern module to r
 * @param alphaPattern module to loraAlpha
 * @see <a href="https://github.com/huggingface/peft/blob/v0.21.0/src/peft/utils/other.py">PEFT 0.21.0, get_pattern_key</a>
 */
public record RankPatterns(Map<String, Integer> rankPattern, Map<String, Double> alphaPattern) {
    public RankPatterns {
        rankPattern = Collections.unmodifiableMap(new LinkedHashMap<>(rankPattern));
        alphaPattern = Collections.unmodifiableMap(new LinkedHashMap<>(alphaPattern));
        rankPattern.forEach((key, r) -> {
            if (r < 1) {
                throw new IllegalArgumentException("rankPattern: r of \"" + key + "\" is " + r + ", it must be at least 1");
            }
        });
        alphaPattern.forEach((key, alpha) -> {
            if (!(alpha > 0 && Double.isFinite(alpha))) {
                throw new IllegalArgumentException("alphaPattern: loraAlpha of \"" + key + "\" is " + alpha + ", it must be positive");
            }
        });
        rankPattern.keySet().forEach(PythonRegex::compile);
        alphaPattern.keySet().forEach(PythonRegex::compile);
    }

    /** The same rank and alpha everywhere. */
    public static RankPatterns none() {
        return new RankPatterns(Map.of(), Map.of());
    }

    int r(String module, int otherwise) {
        return first(rankPattern, module, otherwise);
    }

    double alpha(String module, double otherwise) {
        return first(alphaPattern, module, otherwise);
    }

    private static <T> T first(Map<String, T> patterns, String module, T otherwise) {
        for (Map.Entry<String, T> entry : patterns.entrySet()) {
            if (PythonRegex.compile("(.*\\.)?(" + entry.getKey() + ")").matcher(module).matches()) {
                return entry.getValue();
            }
        }
        return otherwise;
    }
}
