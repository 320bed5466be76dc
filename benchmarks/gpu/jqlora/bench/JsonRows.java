package jqlora.bench;

import static org.bytedeco.cuda.global.cublas.cublasLtGetVersion;
import static org.bytedeco.cuda.global.cudnn.cudnnGetVersion;

import com.google.gson.JsonObject;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Map;

/** Measured rows for programs to read, beside the lines for people: one JSON object a line, appended to the file of {@code json=}; nothing without it. */
public final class JsonRows {
    private final Path file;

    private JsonRows(Path file) {
        this.file = file;
    }

    /** The file that {@code json=} names, if any. */
    public static JsonRows of(Map<String, String> options) {
        return new JsonRows(options.containsKey("json") ? Path.of(options.get("json")) : null);
    }

    /**
     * A row of what has been measured until now, for figures to be added.
     *
     * @param beganNanos {@link System#nanoTime} when the measuring began; the row says in seconds since 1970 when it began and ended
     */
    public static JsonObject row(String bench, long beganNanos) {
        double ended = System.currentTimeMillis() / 1e3;
        JsonObject row = new JsonObject();
        row.addProperty("bench", bench);
        row.addProperty("side", "java");
        row.addProperty("began", ended - (System.nanoTime() - beganNanos) / 1e9);
        row.addProperty("ended", ended);
        return row;
    }

    /** A row with the versions of Java and, once a device is open, of NVIDIA's libraries. */
    public static JsonObject versions() {
        JsonObject versions = new JsonObject(), row = new JsonObject();
        versions.addProperty("Java", Runtime.version().toString());
        versions.addProperty("cuBLAS", cublasLtGetVersion());
        versions.addProperty("cuDNN", cudnnGetVersion());
        row.addProperty("bench", "versions");
        row.addProperty("side", "java");
        row.add("versions", versions);
        return row;
    }

    public void write(JsonObject row) {
        if (file == null) {
            return;
        }
        try {
            Files.writeString(file, row + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        } catch (IOException failed) {
            throw new UncheckedIOException(failed);
        }
    }
}
