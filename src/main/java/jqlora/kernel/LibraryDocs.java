package jqlora.kernel;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Documentation comments of our own library, read from its sources: JShell finds those of the JDK only.
 *
 * @param sources the folder of the root package's parent; where it is missing nothing is found
 */
record LibraryDocs(Path sources) {
    private static final Pattern SIGNATURE = Pattern.compile("(?:\\b(\\w+)\\.)?\\b(\\w+)\\(([^()]*)\\)");
    private static final Pattern ACCESSOR = Pattern.compile("\\b(\\w+)\\.(\\w+)\\(\\)");
    private static final Pattern QUALIFIED = Pattern.compile("jqlora\\.(?:[a-z]\\w*\\.)+([A-Z]\\w*)(?=[(<]|$)");
    private static final Pattern DOCUMENTED = Pattern.compile("/\\*\\*(.*?)\\*/\\s*([^;{]*)[;{]", Pattern.DOTALL);

    /**
     * The comment of the method, constructor or record that JShell names with {@code signature}, as in
     * {@code void Qlora.show(Object value)}; of a record's accessor without one, what its record says of the component.
     */
    Optional<String> ofMember(String signature) {
        return ofDeclared(signature).or(() -> ofComponent(signature)).or(() -> ofWhole(signature));
    }

    /** A type as JShell names it alone: {@code jqlora.lora.LoraConfig(int r)} or {@code jqlora.notebook.HtmlTable}. */
    private Optional<String> ofWhole(String signature) {
        Matcher type = QUALIFIED.matcher(signature);
        return type.lookingAt() ? ofType(type.group(1)) : Optional.empty();
    }

    private Optional<String> ofDeclared(String signature) {
        Matcher parts = SIGNATURE.matcher(signature);
        if (!parts.find()) {
            return Optional.empty();
        }
        String declared = oneLine(parts.group(2) + "(" + parts.group(3) + ")");
        return comment(parts.group(1) == null ? parts.group(2) : parts.group(1), declaration -> declaration.contains(" " + declared));
    }

    private Optional<String> ofComponent(String signature) {
        Matcher accessor = ACCESSOR.matcher(signature);
        if (!accessor.find()) {
            return Optional.empty();
        }
        Pattern described = Pattern.compile("(?ms)^@param\\s+" + Pattern.quote(accessor.group(2)) + "\\s+(.*?)(?=^@|\\z)");
        return ofType(accessor.group(1)).map(described::matcher).filter(Matcher::find).map(text -> oneLine(text.group(1)));
    }

    /** The comment of the type with this simple name. */
    Optional<String> ofType(String name) {
        Pattern declared = Pattern.compile("\\b(class|record|interface|enum) " + Pattern.quote(name) + "\\b");
        return name.isEmpty() ? Optional.empty() : comment(name, declaration -> declared.matcher(declaration).find());
    }

    /** The first comment in the file of {@code type} whose declaration passes. */
    private Optional<String> comment(String type, Predicate<String> declaration) {
        try (Stream<Path> files = Files.isDirectory(sources) ? Files.walk(sources) : Stream.empty()) {
            for (Path file : files.filter(file -> file.endsWith(type + ".java")).toList()) {
                for (Matcher each = DOCUMENTED.matcher(Files.readString(file)); each.find(); ) {
                    if (declaration.test(oneLine(each.group(2)))) {
                        return Optional.of(each.group(1).replaceAll("(?m)^\\s*\\* ?", "").strip());
                    }
                }
            }
        } catch (IOException unreadable) {
            return Optional.empty();                              // documentation is a courtesy
        }
        return Optional.empty();
    }

    private static String oneLine(String text) {
        return text.replaceAll("\\s+", " ").strip();
    }
}
