package jqlora;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.fail;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** The Python stack, for tests tagged {@code peers}: a virtual environment named by {@code -Djqlora.peers=}. */
public final class Peers {
    private Peers() { }

    /**
     * Runs a Python script from {@code src/test/resources/fixtures}; fails if it does.
     *
     * @param script such as {@code format/hub_cache.py}
     * @return what it printed
     */
    public static String run(String script, Object... arguments) throws IOException, InterruptedException {
        String given = System.getProperty("jqlora.peers", "");
        Path python = Path.of(given, "bin", "python");
        if (given.isBlank() || !Files.isExecutable(python)) {
            fail("-Djqlora.peers is \"" + given + "\", it must be the folder of a Python environment with bin/python");
        }
        List<String> command = new ArrayList<>(List.of(python.toString(), Oracle.fixture(script).toString()));
        for (Object argument : arguments) {
            command.add(argument.toString());
        }
        Path output = Files.createTempFile("peers", ".txt");
        Process process = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(output.toFile()).start();
        if (!process.waitFor(900, TimeUnit.SECONDS)) {
            process.destroyForcibly();
            fail(command + " did not end within 900 seconds: " + Files.readString(output));
        }
        String printed = Files.readString(output);
        Files.delete(output);
        assertEquals(0, process.exitValue(), command + " failed: " + printed);
        return printed;
    }
}
