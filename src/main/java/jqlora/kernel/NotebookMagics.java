package jqlora.kernel;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;
import jqlora.format.JsonFileException;
import jqlora.format.JsonView;
import jqlora.notebook.Rendered;
import jqlora.notebook.Screen;
import org.dflib.jjava.jupyter.kernel.magic.MagicsRegistry;

/** The magics that every notebook has, by the names that users of JJava, rapaio and IPython know. */
final class NotebookMagics {
    private final CellExecution execution;
    private final Libraries libraries = new Libraries();
    private final Host host;

    /** What magics do to the notebook. */
    interface Host {
        /** Makes the classes of a jar or folder known to cells. */
        void addToClassPath(Path jarOrFolder);

        /** Runs the source of a cell. */
        Object run(String source) throws CellFailure;
    }

    NotebookMagics(CellExecution execution, Host host) {
        this.execution = execution;
        this.host = host;
    }

    void register(MagicsRegistry magics) {
        magics.registerLineMagic("classpath", (kernel, paths) -> classPath(paths));
        magics.registerLineMagic("jars", (kernel, paths) -> classPath(paths));
        magics.registerLineMagic("maven", (kernel, coordinates) -> maven(coordinates));
        magics.registerLineMagic("dependency", (kernel, words) -> dependency(words));
        magics.registerLineMagic("mavenRepo", (kernel, words) -> repository(words));
        magics.registerLineMagic("loadFromPOM", (kernel, files) -> maven(libraries.ofPomFile(Path.of(one(files, "a pom.xml")))));
        magics.registerCellMagic("loadFromPOM", (kernel, words, body) -> maven(libraries.ofPom(body)));
        magics.registerLineMagic("load", (kernel, files) -> load(Path.of(one(files, "a file of Java, or a notebook"))));
        magics.registerLineMagic("lsmagic", (kernel, words) -> list(magics));
        magics.registerCellMagic("html", (kernel, words, body) -> html(body));
    }

    private Object classPath(List<String> paths) {
        one(paths, "jar files or folders of classes");
        for (String path : paths) {
            if (!Files.exists(Path.of(path))) {
                throw new IllegalArgumentException(path + ": no such file or folder");
            }
        }
        paths.forEach(path -> host.addToClassPath(Path.of(path).toAbsolutePath()));
        return null;
    }

    private Object maven(List<String> coordinates) throws IOException {
        one(coordinates, "a library as group:artifact:version");
        List<Path> jars = onCellThread(coordinates);
        jars.forEach(host::addToClassPath);
        System.out.println("added " + jars.stream().map(jar -> jar.getFileName().toString()).collect(Collectors.joining(", ")));
        return null;
    }

    /** Downloads where an interrupt reaches them. */
    private List<Path> onCellThread(List<String> coordinates) throws IOException {
        List<Path> jars = execution.call(() -> libraries.resolve(coordinates));
        return switch (execution.takeEnding()) {
            case CellExecution.Ending.Failed failed -> throw new IOException(failed.thrown().message());
            case null -> jars;
            default -> throw new IOException("interrupted; run the cell again to go on");
        };
    }

    /** rapaio's form: {@code /add group:artifact:version}, {@code /repo name url}, {@code /resolve}. */
    private Object dependency(List<String> words) throws IOException {
        String command = one(words, "/add group:artifact:version");
        return switch (command) {
            case "/add" -> maven(words.subList(1, words.size()).stream().filter(word -> !word.startsWith("--")).toList());
            case "/repo" -> repository(words.subList(1, words.size()));
            case "/resolve" -> null;                              // each is resolved when it is added
            default -> maven(words);
        };
    }

    private Object repository(List<String> words) {
        if (words.size() != 2) {
            throw new IllegalArgumentException("give the repository a name and its URL, such as: %mavenRepo company https://repo.example.com/maven");
        }
        libraries.addRepository(words.get(0), words.get(1));
        return null;
    }

    private Object load(Path file) throws IOException, CellFailure {
        if (!Files.isRegularFile(file)) {
            throw new IOException(file + ": no such file");
        }
        String text = Files.readString(file);
        Object value = null;
        for (String source : file.toString().endsWith(".ipynb") ? codeCells(file, text) : List.of(text)) {
            value = host.run(source);
        }
        return value;
    }

    private static List<String> codeCells(Path file, String notebook) throws IOException {
        List<String> cells = new ArrayList<>();
        try {
            for (JsonView cell : JsonView.parse(file.toString(), notebook).objects("cells")) {
                if (cell.text("cell_type").equals("code")) {
                    cells.add(cell.isArray("source") ? String.join("", cell.texts("source")) : cell.text("source"));
                }
            }
        } catch (JsonFileException wrong) {
            throw new IOException(file + ": is not a notebook in Jupyter's format 4: " + wrong.getMessage(), wrong);
        }
        return cells;
    }

    private static Object list(MagicsRegistry magics) {
        System.out.println("%" + String.join("  %", withTime(magics.getLineMagicNames())));
        System.out.println("%%" + String.join("  %%", withTime(magics.getCellMagicNames())));
        return null;
    }

    /** {@code registered} and the magic that is the runner's own, in order. */
    static List<String> withTime(java.util.Collection<String> registered) {
        return java.util.stream.Stream.concat(java.util.stream.Stream.of("time"), registered.stream()).distinct().sorted().toList();
    }

    private static Object html(String body) {
        Screen.current().show(new Rendered(body.replaceAll("<[^>]+>", "").strip(), Optional.of(body), Optional.empty()));
        return null;
    }

    private static String one(List<String> words, String what) {
        if (words.isEmpty()) {
            throw new IllegalArgumentException("nothing given; name " + what);
        }
        return words.getFirst();
    }
}
