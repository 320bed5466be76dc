package jqlora;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import javax.tools.JavaCompiler;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The benchmarks are no part of the build; they must fit the library nevertheless. */
class BenchmarksTest {
    @ParameterizedTest
    @ValueSource(strings = {"benchmarks/gpu", "benchmarks/java"})
    void compile(String folder, @TempDir Path classes) throws IOException {
        List<String> options = List.of("-proc:none", "--add-modules", "jdk.incubator.vector", "-cp", System.getProperty("java.class.path"), "-d", classes.toString());
        try (Stream<Path> files = Files.walk(Path.of(folder))) {
            JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
            List<Path> sources = files.filter(path -> path.toString().endsWith(".java")).toList();
            StringWriter said = new StringWriter();
            boolean compiled = compiler.getTask(said, null, null, options, null, compiler.getStandardFileManager(null, null, null).getJavaFileObjectsFromPaths(sources)).call();
            assertTrue(compiled, said::toString);
        }
    }
}
