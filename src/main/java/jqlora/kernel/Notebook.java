package jqlora.kernel;

import java.net.URL;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;

/** What every notebook begins with. */
final class Notebook {
    private static final List<String> AS_JSHELL = List.of("java.io", "java.math", "java.net", "java.nio.file", "java.util", "java.util.concurrent",
            "java.util.function", "java.util.prefs", "java.util.regex", "java.util.stream");
    private static final List<String> OURS = List.of("java.time", "tech.tablesaw.api", "org.knowm.xchart",
            "jqlora.tensor", "jqlora.quant", "jqlora.format", "jqlora.model", "jqlora.model.families", "jqlora.lora", "jqlora.data",
            "jqlora.generate", "jqlora.train", "jqlora.evaluate", "jqlora.inspect", "jqlora.experiment", "jqlora.device", "jqlora.notebook", "static jqlora.notebook.Qlora");

    /**
     * An import on demand.
     *
     * @param what    a package, or {@code static} and a class
     * @param jshells whether the JDK's jshell begins with it as well
     */
    record Import(String what, boolean jshells) { }

    private Notebook() { }

    /** The imports, in order. A package that this class path lacks is left out: javac refuses its import. */
    static List<Import> imports() {
        return Stream.concat(AS_JSHELL.stream().map(name -> new Import(name, true)), OURS.stream().filter(Notebook::isPresent).map(name -> new Import(name, false))).toList();
    }

    private static boolean isPresent(String name) {
        String file = name.startsWith("static ") ? name.substring("static ".length()).replace('.', '/') + ".class" : name.replace('.', '/');
        URL found = Notebook.class.getClassLoader().getResource(file);
        return name.startsWith("java.") || Objects.nonNull(found);
    }
}
