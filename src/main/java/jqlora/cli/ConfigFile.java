package jqlora.cli;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import jqlora.format.JsonFileException;
import jqlora.format.Utf8File;
import org.snakeyaml.engine.v2.api.LoadSettings;
import org.snakeyaml.engine.v2.api.lowlevel.Compose;
import org.snakeyaml.engine.v2.exceptions.Mark;
import org.snakeyaml.engine.v2.exceptions.MarkedYamlEngineException;
import org.snakeyaml.engine.v2.exceptions.YamlEngineException;
import org.snakeyaml.engine.v2.nodes.MappingNode;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.nodes.NodeTuple;
import org.snakeyaml.engine.v2.nodes.ScalarNode;
import org.snakeyaml.engine.v2.nodes.SequenceNode;
import org.snakeyaml.engine.v2.nodes.Tag;

/** Options in a file: {@code name: value} in YAML, or one JSON object, which is YAML too. A list stands for names with a comma between. */
final class ConfigFile {
    private static final String EMBEDDED = "embedded.yaml";

    private ConfigFile() { }

    /**
     * The options in {@code file}, by their names, in its order.
     *
     * @throws IOException if it cannot be read, is neither YAML nor JSON, or has other things than names with values; the
     *         message has the line
     */
    static Map<String, GivenOptions.Given> read(Path file) throws IOException {
        return parse(file.toString(), Utf8File.read(file));
    }

    /** The settings that suit the model that ships with jqlora. */
    static Map<String, GivenOptions.Given> embedded() throws IOException {
        try (InputStream resource = ConfigFile.class.getResourceAsStream(EMBEDDED)) {
            return parse(EMBEDDED, new String(resource.readAllBytes(), StandardCharsets.UTF_8));
        }
    }

    /** @param file stands in front of messages */
    static Map<String, GivenOptions.Given> parse(String file, String text) throws IOException {
        Map<String, GivenOptions.Given> options = new LinkedHashMap<>();
        switch (root(file, text).orElse(null)) {
            case null -> { }
            case MappingNode mapping -> {
                for (NodeTuple tuple : mapping.getValue()) {
                    add(file, tuple, options);
                }
            }
            default -> throw new JsonFileException(file,
                    "is no list of options, it must have lines such as lora_r: 16, or be one JSON object");
        }
        return options;
    }

    private static Optional<Node> root(String file, String text) throws IOException {
        try {
            return new Compose(LoadSettings.builder().setLabel(file).build()).composeString(text);
        } catch (MarkedYamlEngineException malformed) {
            String where = malformed.getProblemMark().map(mark -> ": line " + (mark.getLine() + 1)).orElse("");
            throw new JsonFileException(file + where, "is neither YAML nor JSON: " + malformed.getProblem()
                    + "; it must have lines such as lora_r: 16");
        } catch (YamlEngineException malformed) {
            throw new JsonFileException(file, "is neither YAML nor JSON: " + malformed.getMessage()
                    + "; it must have lines such as lora_r: 16");
        }
    }

    private static void add(String file, NodeTuple tuple, Map<String, GivenOptions.Given> options) throws IOException {
        String where = file + line(tuple.getKeyNode());
        if (!(tuple.getKeyNode() instanceof ScalarNode key)) {
            throw new JsonFileException(where, "has a key that is no name, it must be one of an option, such as lora_r");
        }
        String name = key.getValue();
        if (options.containsKey(name)) {
            String first = options.get(name).where().substring(file.length() + 2).replaceFirst(": .*", "");
            throw new JsonFileException(where, name + " occurs twice, it must occur once; it is also in " + first);
        }
        if (tuple.getValueNode().getTag().equals(Tag.NULL)) {
            return;                                               // the default, as where it does not stand
        }
        options.put(name, new GivenOptions.Given(value(where, name, tuple.getValueNode()), where + ": " + name));
    }

    private static String value(String where, String name, Node node) throws IOException {
        if (node instanceof ScalarNode scalar) {
            return scalar.getValue();
        }
        List<String> values = new ArrayList<>();
        if (node instanceof SequenceNode sequence) {
            for (Node element : sequence.getValue()) {
                values.add(element instanceof ScalarNode ? value(where, name, element) : "");
            }
        }
        if (values.isEmpty() || values.contains("")) {
            throw new JsonFileException(where, name
                    + " has entries of its own, it must be one value, or a list of names; options are not nested");
        }
        return String.join(",", values);
    }

    private static String line(Node node) {
        return node.getStartMark().map(Mark::getLine).map(line -> ": line " + (line + 1)).orElse("");
    }
}
