package jqlora.ops.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/**
 * Kernels that are launched before the one before them has ended must wait for it, and only kernels that wait may be launched so: the list in {@link Kernels} against the sources. A name too
 * many there is a race, a name too few costs time.
 */
class WaitingKernelsTest {
    private static final String WAIT = "wait_for_previous";
    private static final Pattern MACRO = Pattern.compile("(?m)^#define (\\w+)\\(([^)]*)\\)((?:[^\\n]*\\\\\\n)*[^\\n]*)");
    private static final Pattern FUNCTION = Pattern.compile("(\\w+)\\s*\\([^;{}]*\\)\\s*\\{");

    /** Macros with arguments, as the sources use them: one use a line. */
    private static String expanded(String source) {
        String text = source;
        for (Matcher macro = MACRO.matcher(source); macro.find();) {
            String[] names = macro.group(2).split("\\s*,\\s*");
            String body = macro.group(3).replace("\\\n", "\n");
            Matcher use = Pattern.compile("(?m)^" + macro.group(1) + "\\(([^)]*)\\).*$").matcher(text);
            text = use.replaceAll(found -> {
                String[] values = found.group(1).split("\\s*,\\s*");
                String filled = body;
                for (int i = 0; i < names.length; i++) {
                    filled = filled.replaceAll("\\b" + names[i] + "(?=\\b|##)|(?<=##)" + names[i] + "\\b", Matcher.quoteReplacement(values[i]));
                }
                return Matcher.quoteReplacement(filled.replace("##", ""));
            });
        }
        return MACRO.matcher(text).replaceAll("").replaceAll("__launch_bounds__\\([^)]*\\)", "");
    }

    /** Each function's text, by its name; several of one name together. */
    private static Map<String, String> functions(String source) {
        Map<String, String> bodies = new HashMap<>();
        for (Matcher function = FUNCTION.matcher(source); function.find();) {
            int depth = 1, at = function.end();
            while (depth > 0) {
                char c = source.charAt(at++);
                depth += c == '{' ? 1 : c == '}' ? -1 : 0;
            }
            bodies.merge(function.group(1), source.substring(function.end(), at), String::concat);
        }
        return bodies;
    }

    private static boolean waits(String name, Map<String, String> functions, Set<String> seen) {
        String body = functions.get(name);
        if (body == null || !seen.add(name)) {
            return false;
        }
        return body.contains(WAIT + "()") || Pattern.compile("(\\w+)\\s*(?:<[^;(){}]*>)?\\s*\\(").matcher(body).results().anyMatch(call -> waits(call.group(1), functions, seen));
    }

    @Test
    void theListIsThatOfTheSources() {
        Set<String> waiting = new TreeSet<>(), kernels = new TreeSet<>();
        for (String name : KernelSource.NAMES) {
            String source = expanded(KernelSource.of(name).text());
            Map<String, String> functions = functions(source);
            Set<String> own = Pattern.compile("__global__ void\\s+(\\w+)\\(").matcher(source).results().map(found -> found.group(1)).collect(Collectors.toSet());
            kernels.addAll(own);
            own.stream().filter(kernel -> waits(kernel, functions, new TreeSet<>())).forEach(waiting::add);
        }
        assertTrue(kernels.contains("silu_backward8") && kernels.contains("gelu_tanh_backward_adapters4"), "kernels of macros are found: " + kernels);
        assertEquals(waiting, new TreeSet<>(Kernels.WAITING));
    }
}
