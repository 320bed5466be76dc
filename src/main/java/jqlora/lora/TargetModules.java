package jqlora.lora;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.regex.Pattern;

/**
 * Which modules get an adapter, by PEFT's {@code target_modules} rules; a name is the full module name, such as
 * {@code model.layers.0.self_attn.q_proj}.
 *
 * @see <a href="https://github.com/huggingface/peft/blob/v0.21.0/src/peft/tuners/tuners_utils.py">PEFT 0.21.0, check_target_module_exists</a>
 */
public sealed interface TargetModules {
    /** A listed name, or anything that ends with a dot and a listed name: q_proj, query_key_value, Wqkv, c_attn ... */
    record Names(List<String> names) implements TargetModules {
        public Names {
            if (names.isEmpty()) {
                throw new IllegalArgumentException("targetModules is empty; name at least one module, such as \"q_proj\"");
            }
            names = List.copyOf(new LinkedHashSet<>(names));      // the caller's order, once each: it reaches files and tables
        }
    }

    /** The whole name matches, as in Python's {@code re.fullmatch}; "q_proj" alone matches no nested module. */
    record Regex(String regex) implements TargetModules {
        public Regex {
            PythonRegex.compile(regex);                           // PatternSyntaxException shows the text and the index
        }
    }

    /** "all-linear": every linear layer except the output layer. */
    record AllLinear() implements TargetModules { }

    static TargetModules names(String... names) {
        return new Names(List.of(names));
    }

    /**
     * What PEFT understands by a single string: "all-linear", in any case, or a regular expression.
     */
    static TargetModules ofText(String text) {
        return text.equalsIgnoreCase("all-linear") ? new AllLinear() : new Regex(text);
    }

    /** @param innerLinear whether the module is a linear layer and not the output layer */
    default boolean matches(String name, boolean innerLinear) {
        return switch (this) {
            case Names(var names) -> names.stream().anyMatch(listed -> endsWith(name, listed));
            case Regex(var regex) -> PythonRegex.compile(regex).matcher(name).matches();
            case AllLinear() -> innerLinear;
        };
    }

    /** The patterns one by one, each for its own row in a table. */
    default List<TargetModules> parts() {
        if (!(this instanceof Names(var names))) {
            return List.of(this);
        }
        List<TargetModules> parts = new ArrayList<>();
        names.forEach(name -> parts.add(names(name)));
        return parts;
    }

    /** As it stands in a table: the name, the regular expression, or all-linear. */
    default String text() {
        return switch (this) {
            case Names(var names) -> String.join(", ", names);
            case Regex(var regex) -> regex;
            case AllLinear() -> "all-linear";
        };
    }

    private static boolean endsWith(String name, String listed) {
        return name.equals(listed) || name.endsWith("." + listed);
    }
}
