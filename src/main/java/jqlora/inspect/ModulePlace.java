package jqlora.inspect;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Where a module stands in its model, by its name.
 *
 * @param layer the first number in the name: 3 in {@code model.layers.3.mlp.up_proj}; 0 where there is none
 * @param kind the last part of the name, such as {@code up_proj}
 */
record ModulePlace(int layer, String kind) {
    private static final Pattern LAYER = Pattern.compile("\\.(\\d+)\\.");

    /** Whether a name has the number of a layer. */
    static boolean isInLayer(String name) {
        return LAYER.matcher(name).find();
    }

    static ModulePlace of(String module) {
        Matcher number = LAYER.matcher(module);
        return new ModulePlace(number.find() ? Integer.parseInt(number.group(1)) : 0, module.substring(module.lastIndexOf('.') + 1));
    }
}
