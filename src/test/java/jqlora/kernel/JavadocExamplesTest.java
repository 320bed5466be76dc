package jqlora.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** The examples in the Javadoc of the notebook's room run as they stand, in a notebook with a model, an adapter and a data set. */
@Tag("slow")
class JavadocExamplesTest {
    private static final Path ROOM = Path.of("src/main/java/jqlora/notebook");
    private static final Pattern EXAMPLE = Pattern.compile("<pre>\\{@code\\s*?\\n(.*?)\\}</pre>", Pattern.DOTALL);
    /** A Javadoc comment and the head of the public method that it belongs to. */
    private static final Pattern METHOD = Pattern.compile("/\\*\\*((?:(?!\\*/).)*)\\*/\\s*(?:@\\w+(?:\\([^)]*\\))?\\s*)*public (?!final class|record|interface|enum)[^;{=]*?(\\w+)\\(", Pattern.DOTALL);
    private static final String SHELL = "jshell> ";

    private static CellSession cells;

    private record Example(String where, String code) { }

    @BeforeAll
    static void open() throws CellFailure {
        cells = new CellSession();
        cells.run("""
                OpenModel model = openModel("jqlora-tiny");
                InstructionSet english = dataSet("en-wiki-questions").first(8, 2);
                LoraConfig lora = LoraConfig.defaults().withR(2).withTargetModules("q_proj");
                LoraAdapter adapter = model.addAdapter(lora);
                SftConfig config = SftConfig.defaults().withMaxSteps(2).withBatchSize(2);
                List<InstructionSet> sets = List.of(english);
                List<String> texts = List.of("a bee", "a fir");
                void count(String text) { }
                """);
    }

    @AfterAll
    static void close() throws CellFailure {
        cells.run("model.close();");
    }

    private static String source(Path file) {
        try {
            return Files.readString(file);
        } catch (IOException unreadable) {
            throw new AssertionError(unreadable);
        }
    }

    private static List<Example> examples() throws IOException {
        List<Example> examples = new ArrayList<>();
        try (Stream<Path> files = Files.list(ROOM)) {
            for (Path file : files.filter(file -> file.toString().endsWith(".java")).sorted().toList()) {
                String text = source(file);
                for (Matcher found = EXAMPLE.matcher(text); found.find(); ) {
                    String code = found.group(1).lines().map(line -> line.replaceFirst("^\\s*\\* ?", "")).collect(Collectors.joining("\n")).strip();
                    examples.add(new Example(file.getFileName() + ":" + (1 + text.substring(0, found.start()).lines().count()), code));
                }
            }
        }
        return examples;
    }

    @TestFactory
    List<DynamicTest> examplesRun() throws IOException {
        return examples().stream().map(example -> DynamicTest.dynamicTest(example.where, () -> {
            cells.run("model.useNoAdapter(); adapter.detach(); adapter.attach();");
            if (!example.code.startsWith(SHELL)) {
                cells.shown(example.code);
                return;
            }
            String[] lines = example.code.split("\n", 2);
            assertEquals(lines[1].stripTrailing(), cells.shown(lines[0].substring(SHELL.length())).stripTrailing());
        })).toList();
    }

    /** What a reader finds with Shift-Tab. */
    @Test
    void everyMethodOfTheFrontDoorHasAnExample() {
        List<String> without = new ArrayList<>();
        for (String file : List.of("Qlora.java", "OpenModel.java")) {
            Matcher method = METHOD.matcher(source(ROOM.resolve(file)));
            while (method.find()) {
                if (!method.group(1).contains("<pre>{@code") && !method.group(2).equals("toString")) {
                    without.add(file + " " + method.group(2));
                }
            }
        }
        assertEquals(List.of(), without);
    }
}
