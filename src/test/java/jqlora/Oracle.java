package jqlora;

import static org.junit.jupiter.api.Assertions.fail;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.PathMatcher;
import java.util.List;
import java.util.stream.Stream;

/** Reference data made by the Python stack: the trimmed copy of this repository, or the folder in {@code -Djqlora.oracle=}. */
public final class Oracle {
    private static final Path RESOURCES = Path.of("src/test/resources");

    private Oracle() { }

    /** The folder that holds {@code hostile}, {@code four_bit}, {@code families} and so on. */
    public static Path root() {
        String given = System.getProperty("jqlora.oracle", "");
        return given.isBlank() ? RESOURCES.resolve("oracle") : Path.of(given);
    }

    /** The file or folder {@code relative} of the reference data; fails if it is not there. */
    public static Path path(String relative) {
        return existing(root().resolve(relative));
    }

    /** The file or folder {@code relative} of the small cases that lie beside the script that made them; fails if it is not there. */
    public static Path fixture(String relative) {
        return existing(RESOURCES.resolve("fixtures").resolve(relative));
    }

    /** What in {@code folder} is named by {@code glob}, such as {@code nf4*.safetensors}, sorted; fails if there is nothing. */
    public static List<Path> list(String folder, String glob) {
        return list(path(folder), glob);
    }

    /** As {@link #list(String, String)}, of any folder. */
    public static List<Path> list(Path folder, String glob) {
        PathMatcher matcher = FileSystems.getDefault().getPathMatcher("glob:" + glob);
        try (Stream<Path> children = Files.list(folder)) {
            List<Path> found = children.filter(child -> matcher.matches(child.getFileName())).sorted().toList();
            return found.isEmpty() ? fail("no reference data: nothing in " + folder + " is named " + glob) : found;
        } catch (IOException unreadable) {
            return fail("no reference data: " + folder + " cannot be listed", unreadable);
        }
    }

    /** The JSON object in {@code file}. */
    public static JsonObject json(Path file) {
        try {
            return JsonParser.parseString(Files.readString(file)).getAsJsonObject();
        } catch (IOException unreadable) {
            return fail("no reference data: " + file, unreadable);
        }
    }

    private static Path existing(Path path) {
        return Files.exists(path) ? path : fail("no reference data: " + path.toAbsolutePath() + " is not there");
    }
}
