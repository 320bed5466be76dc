package jqlora.cli;

import java.io.IOException;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Stack;
import java.util.TreeSet;
import jqlora.tensor.NearNames;
import picocli.CommandLine;
import picocli.CommandLine.Model.ArgSpec;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;

/**
 * What was given for a training, each option once: the command line goes before the file that it names, and that before the settings of
 * the model that ships with jqlora, where no model is named. All that is wrong is told at once, with the place where it stands. Words are
 * those of Python's argparse in transformers: {@code --double_quant}, {@code --double_quant False} and {@code --no_double_quant}, and of
 * an option that is given twice the last.
 */
final class GivenOptions implements CommandLine.IParameterPreprocessor {
    static final String CONFIG = "config";
    private static final String PREFIX = "--", NO = "no_";
    /** The options that may have several words. */
    private static final String LIST = "lora_modules";

    /**
     * A value, and where it stands.
     *
     * @param where {@code --lora_r}, or {@code run.yaml: line 3: lora_r}
     */
    record Given(String value, String where) { }

    private CommandSpec spec;
    private final List<String> problems = new ArrayList<>();

    /** Puts {@code --name=value} for each option that was given in the place of the command's words. */
    @Override
    public boolean preprocess(Stack<String> words, CommandSpec command, ArgSpec none, Map<String, Object> info) {
        Deque<String> left = new ArrayDeque<>();
        while (!words.isEmpty()) {
            left.add(words.pop());
        }
        spec = command;
        problems.clear();
        List<String> canonical = left.stream().anyMatch(this::asksForHelp) ? List.of(PREFIX + "help") : merged(left);
        if (!problems.isEmpty()) {
            throw new CommandLine.ParameterException(command.commandLine(), String.join(System.lineSeparator(), problems));
        }
        canonical.reversed().forEach(words::push);
        return false;
    }

    private boolean asksForHelp(String word) {
        return List.of("-h", "--help").contains(word);
    }

    private List<String> merged(Deque<String> words) {
        Map<String, Given> given = commandLine(words);
        try {
            if (given.containsKey(CONFIG)) {
                under(given, known(ConfigFile.read(path(given.get(CONFIG)))));
            }
            boolean embedded = !given.containsKey(ModelOptions.MODEL.substring(PREFIX.length()));
            if (embedded) {
                under(given, ConfigFile.embedded());
            }
            ((TrainCommand) spec.userObject()).given(given, embedded);
        } catch (IOException unreadable) {
            problems.add(PREFIX + CONFIG + ": " + unreadable.getMessage());
        }
        List<String> canonical = new ArrayList<>();
        given.forEach((name, value) -> canonical.add(PREFIX + name + "=" + checked(option(name), value)));
        return canonical;
    }

    private static Path path(Given config) throws IOException {
        try {
            return Path.of(config.value);
        } catch (InvalidPathException noPath) {
            throw new IOException("\"" + config.value + "\" is no name of a file: " + noPath.getReason(), noPath);
        }
    }

    /** Adds what {@code upper} does not say. Its epochs also stand in the way of steps from below, which would go before them. */
    private static void under(Map<String, Given> upper, Map<String, Given> lower) {
        boolean epochs = upper.containsKey(TrainingOptions.EPOCHS);
        lower.forEach((name, value) -> {
            if (!(epochs && name.equals(TrainingOptions.MAX_STEPS))) {
                upper.putIfAbsent(name, value);
            }
        });
    }

    // ---- the command line

    private Map<String, Given> commandLine(Deque<String> words) {
        Map<String, Given> given = new LinkedHashMap<>();
        while (!words.isEmpty()) {
            String word = words.pop();
            if (!word.startsWith(PREFIX)) {
                problems.add("\"" + word + "\" follows no option, it must follow one, as in --lora_r 16");
                continue;
            }
            int equals = word.indexOf('=');
            String name = word.substring(PREFIX.length(), equals < 0 ? word.length() : equals);
            List<String> values = new ArrayList<>();
            if (equals >= 0) {
                values.add(word.substring(equals + 1));
            }
            boolean negated = option(name) == null && name.startsWith(NO) && isFlag(option(name.substring(NO.length()))) && equals < 0;
            if (negated) {
                name = name.substring(NO.length());
                values.add("false");
            }
            OptionSpec option = option(name);
            boolean several = option == null || name.equals(LIST);
            while (!words.isEmpty() && !words.peek().startsWith(PREFIX) && (values.isEmpty() || several)) {
                values.add(words.pop());
            }
            if (option == null) {
                problems.add(unknown(PREFIX + name, name));
            } else if (values.isEmpty() && !isFlag(option)) {
                problems.add(word + " has no value, it must have one: " + word + " " + option.paramLabel());
            } else {
                given.put(name, new Given(values.isEmpty() ? "true" : String.join(",", values), PREFIX + name));
            }
        }
        return given;
    }

    /** Those that are options; the others are problems. */
    private Map<String, Given> known(Map<String, Given> file) {
        Map<String, Given> known = new LinkedHashMap<>();
        file.forEach((name, value) -> {
            if (name.equals(CONFIG)) {
                problems.add(value.where + " names another file, there can be one; put all options into it");
            } else if (option(name) == null) {
                problems.add(unknown(value.where, name));
            } else {
                known.put(name, value);
            }
        });
        return known;
    }

    private String unknown(String where, String name) {
        String other = NotBuilt.insteadOf(name);
        return other != null ? where + " is not built: " + other
                : where + " is no option" + NearNames.hint(name, names()) + "; ./jqlora train --help shows all of them";
    }

    private TreeSet<String> names() {
        TreeSet<String> names = new TreeSet<>();
        spec.options().forEach(option -> names.add(option.longestName().substring(PREFIX.length())));
        names.remove("help");
        return names;
    }

    private OptionSpec option(String name) {
        return name.equals("help") ? null : spec.findOption(PREFIX + name);
    }

    private static boolean isFlag(OptionSpec option) {
        return option != null && option.type() == boolean.class;
    }

    // ---- values

    /** The value as its type is written here; a problem if it is of another. */
    private String checked(OptionSpec option, Given given) {
        String value = given.value.strip(), must = null;
        Class<?> type = option.type();
        try {
            if (type == boolean.class) {
                value = switch (value.toLowerCase(java.util.Locale.ROOT)) {
                    case "true", "yes", "1" -> "true";
                    case "false", "no", "0" -> "false";
                    default -> throw new NumberFormatException();
                };
            } else if (type == int.class || type == Integer.class) {
                value = Integer.toString(Integer.parseInt(value));
            } else if (type == long.class) {
                value = Long.toString(Long.parseLong(value));
            } else if (type == double.class || type == Double.class) {
                value = Double.toString(finite(value));
            } else if (type == Path.class) {
                must = "the name of a file or folder";
                value = Path.of(value).toString();
                if (value.isEmpty()) {
                    throw new NumberFormatException();
                }
            }
        } catch (NumberFormatException | InvalidPathException wrong) {
            boolean number = type == double.class || type == Double.class;
            String kind = type == boolean.class ? "true or false" : must != null ? must : number ? "a number" : "a whole number";
            problems.add(given.where + " is \"" + given.value + "\", it must be " + kind);
        }
        return value;
    }

    private static double finite(String text) {
        double number = Double.parseDouble(text);
        if (!Double.isFinite(number) || text.matches(".*[dDfFxX]$")) {  // Java's own endings are no part of a number
            throw new NumberFormatException();
        }
        return number;
    }
}
