package jqlora.lora;

import java.util.List;
import java.util.regex.Matcher;

/**
 * What takes modules out of a choice again.
 *
 * @param excludeModules by the rules of {@link TargetModules}; null for none
 * @param layersToTransform numbers of the layers that get adapters; empty for all. As in PEFT it limits a list of names only, not a regular
 *     expression or "all-linear"
 * @param layersPattern names of the module that holds the layers, such as {@code layers}; empty for whatever stands before the first number
 */
public record TargetLimits(TargetModules excludeModules, List<Integer> layersToTransform, List<String> layersPattern) {
    public TargetLimits {
        layersToTransform = List.copyOf(layersToTransform);
        layersPattern = List.copyOf(layersPattern);
        if (excludeModules instanceof TargetModules.AllLinear) {
            throw new IllegalArgumentException("excludeModules is \"all-linear\", it must be a list of names or a regular expression");
        }
    }

    /** Nothing is taken out. */
    public static TargetLimits none() {
        return new TargetLimits(null, List.of(), List.of());
    }

    public TargetLimits withExcludeModules(TargetModules excludeModules) {
        return new TargetLimits(excludeModules, layersToTransform, layersPattern);
    }

    public TargetLimits withLayersToTransform(List<Integer> layersToTransform) {
        return new TargetLimits(excludeModules, layersToTransform, layersPattern);
    }

    boolean excludes(String name) {
        return excludeModules != null && excludeModules.matches(name, false);
    }

    /** Whether {@code name}, which a list of names matches by its ending, lies in one of the layers. */
    boolean hasLayer(String name) {
        if (layersToTransform.isEmpty()) {
            return true;
        }
        List<String> patterns = layersPattern.isEmpty() ? List.of(".*?\\.[^.]*\\.(?<idx>\\d+)\\.")
                : layersPattern.stream().map(pattern -> "(?:^|.*?\\.)" + pattern + "\\.(?<idx>\\d+)\\.").toList();
        for (String pattern : patterns) {
            Matcher matcher = PythonRegex.compile(pattern).matcher(name);
            if (matcher.lookingAt()) {
                return layersToTransform.contains(Integer.parseInt(matcher.group("idx")));
            }
        }
        return false;
    }
}
