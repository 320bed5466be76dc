package jqlora.kernel;

import java.net.URL;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;

/** What every notebook begins with. */
final class Notebook {
    private static final List<String> PACKAGES = List.of(
            "java.util", "java.util.function", "java.util.stream", "java.nio.file", "tech.tablesaw.api", "org.knowm.xchart",
            "jqlora.tensor", "jqlora.quant", "jqlora.format", "jqlora.model", "jqlora.lora", "jqlora.data", "jqlora.generate",
            "jqlora.train", "jqlora.evaluate", "jqlora.inspect", "jqlora.experiment", "jqlora.notebook");

    private Notebook() { }

    /** Import declarations without keyword and semicolon. A package that this class path lacks is left out: javac refuses its import. */
    static List<String> imports() {
        List<String> present = PACKAGES.stream().filter(Notebook::isPresent).map(name -> name + ".*").toList();
        return Stream.concat(present.stream(), Stream.of("static jqlora.notebook.Qlora.*")).toList();
    }

    private static boolean isPresent(String name) {
        URL folder = Notebook.class.getClassLoader().getResource(name.replace('.', '/'));
        return name.startsWith("java.") || Objects.nonNull(folder);
    }
}
