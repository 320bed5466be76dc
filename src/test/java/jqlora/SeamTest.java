package jqlora;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Predicate;
import java.util.stream.Stream;
import jqlora.ops.DecodingOps;
import jqlora.ops.LayerOps;
import jqlora.ops.Store;
import jqlora.ops.UpdateOps;
import org.junit.jupiter.api.Test;

/** The seam stays thin: few operations, each with a caller above; and below it no part of a backend knows the facade that puts the parts together. */
class SeamTest {
    private static final Path MAIN = Path.of("src/main/java/jqlora");
    private static final List<Class<?>> FACES = List.of(Store.class, LayerOps.class, DecodingOps.class, UpdateOps.class);
    private static final int MOST_OF_A_FACE = 16, MOST = 40;

    private static List<Method> operations(Class<?> face) {
        return Stream.of(face.getDeclaredMethods()).filter(method -> !method.isSynthetic() && Modifier.isPublic(method.getModifiers())).toList();
    }

    @Test
    void noFaceHasTooManyOperations() {
        int all = 0;
        for (Class<?> face : FACES) {
            int count = operations(face).size();
            assertTrue(count <= MOST_OF_A_FACE, face.getSimpleName() + " has " + count + " operations, at most " + MOST_OF_A_FACE);
            all += count;
        }
        assertTrue(all <= MOST, all + " operations, at most " + MOST);
    }

    @Test
    void everyOperationHasACallerAboveTheSeam() throws IOException {
        String above = text(MAIN, path -> !path.startsWith(MAIN.resolve("ops")) && !path.startsWith(MAIN.resolve("tensor")) && !path.startsWith(MAIN.resolve("quant")));
        List<String> unused = new ArrayList<>();
        for (Class<?> face : FACES) {
            for (Method operation : operations(face)) {
                if (!above.matches("(?s).*[.:]" + operation.getName() + "\\b.*")) {
                    unused.add(face.getSimpleName() + "." + operation.getName());
                }
            }
        }
        assertEquals(List.of(), unused, "operations that nothing above the seam calls");
    }

    @Test
    void noPartOfABackendNamesItsFacade() throws IOException {
        List<String> named = new ArrayList<>();
        for (String backend : List.of("cpu/CpuOps", "cuda/CudaOps")) {
            Path folder = MAIN.resolve("ops").resolve(backend.substring(0, backend.indexOf('/')));
            String facade = backend.substring(backend.indexOf('/') + 1);
            try (Stream<Path> files = Files.list(folder)) {
                for (Path file : files.filter(path -> path.toString().endsWith(".java")).toList()) {
                    boolean itself = file.getFileName().toString().equals(facade + ".java") || file.getFileName().toString().equals("package-info.java");
                    String code = Files.readString(file).replaceAll("(?s)/\\*\\*.*?\\*/", "");
                    if (!itself && code.matches("(?s).*\\b" + facade + "\\b.*")) {
                        named.add(file.toString());
                    }
                }
            }
        }
        assertEquals(List.of(), named, "parts that name the facade of their backend");
    }

    private static String text(Path folder, Predicate<Path> wanted) throws IOException {
        try (Stream<Path> files = Files.walk(folder)) {
            List<String> texts = new ArrayList<>();
            for (Path file : files.filter(path -> path.toString().endsWith(".java")).filter(wanted).toList()) {
                texts.add(Files.readString(file));
            }
            return String.join("\n", texts);
        }
    }
}
