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
    private static final Pattern DOCUMENTED = Pattern.compile("/\\*\\*(.*?)\\*/\\s*([^;{]*)[;{]", Pattern.DOTALL);

    /** The comment of the method, constructor or record that JShell names with {@code signature}, as in {@code void Qlora.show(Object value)}. */
    Optional<String> ofMember(String signature) {
        Matcher parts = SIGNATURE.matcher(signature);
        if (!parts.find()) {
            return Optional.empty();
        }
        String declared = oneLine(parts.group(2) + "(" + parts.group(3) + ")");
        return comment(parts.group(1) == null ? parts.group(2) : parts.group(1), declaration -> declaration.contains(" " + declared));
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
