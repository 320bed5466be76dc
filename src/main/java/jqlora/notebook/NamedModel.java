package jqlora.notebook;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.Stream;
import jqlora.format.DownloadListener;
import jqlora.format.HfConfig;
import jqlora.format.HubAccess;
import jqlora.format.HubRepository;
import jqlora.tensor.NearNames;

/** A model by the name that a user writes: a folder, the model that ships with jqlora, or one on the Hub. */
public final class NamedModel {
    private NamedModel() { }

    /** Access that is only looked at when a model of the Hub is asked for. */
    @FunctionalInterface
    public interface Hub {
        HubAccess access() throws IOException;
    }

    /**
     * The folder of {@code model}: the folder of that name, which goes first as in transformers; {@code jqlora-tiny}; else {@code owner/name} or
     * {@code owner/name@revision} of the Hub, downloaded if need be.
     *
     * @param screen where the download is shown
     * @param notice hears what a user should know
     * @throws IOException if it is nothing of these; the message says what it could be
     */
    public static Path folder(String model, Path embedded, Hub hub, Screen screen, Consumer<String> notice) throws IOException {
        Path folder = path(model);
        if (folder != null && Files.isDirectory(folder)) {
            return folder;
        }
        if (model.equals(embedded.getFileName().toString())) {
            return embedded;
        }
        int at = model.lastIndexOf('@');
        HubRepository repository;
        try {
            if (model.indexOf('/') <= 0 || model.startsWith(".") || model.startsWith("~")) {
                throw new IllegalArgumentException("a model of the Hub is written owner/name");
            }
            HubRepository main = HubRepository.of(at < 0 ? model : model.substring(0, at));
            repository = at < 0 ? main : main.withRevision(model.substring(at + 1));
        } catch (IllegalArgumentException noName) {
            throw new IOException("\"" + model + "\" is no folder here, and no name on the Hub (" + noName.getMessage() + "); it must be the folder of a model, \""
                    + embedded.getFileName() + "\", or such as \"HuggingFaceTB/SmolLM2-135M-Instruct\"", noName);
        }
        try (Download download = new Download(screen, notice)) {
            return hub.access().fetch(repository, download);
        }
    }

    /** @throws IOException if {@code folder} is none; the message has names of models near it */
    static void requireFolder(Path folder) throws IOException {
        if (Files.isDirectory(folder)) {
            return;
        }
        Path parent = folder.toAbsolutePath().getParent();
        List<String> models = List.of();
        if (parent != null && Files.isDirectory(parent)) {
            try (Stream<Path> beside = Files.list(parent)) {
                models = beside.filter(child -> Files.isRegularFile(child.resolve(HfConfig.FILE))).map(child -> child.getFileName().toString()).sorted().toList();
            }
        }
        throw new IOException(folder + ": is not a folder" + NearNames.hint(String.valueOf(folder.getFileName()), models));
    }

    /** Null if it cannot be a path; an empty one would be the folder that the notebook is in. */
    private static Path path(String model) {
        try {
            return model.isBlank() ? null : Path.of(model);
        } catch (InvalidPathException noPath) {
            return null;
        }
    }

    /** A bar a file. */
    private static final class Download implements DownloadListener, AutoCloseable {
        private static final int PARTS = 1000;

        private final Screen screen;
        private final Consumer<String> notice;
        private Progress bar;
        private String file = "";
        private int shown;

        Download(Screen screen, Consumer<String> notice) {
            this.screen = screen;
            this.notice = notice;
        }

        @Override
        public void progress(String name, long bytes, long totalBytes) {
            if (!name.equals(file)) {
                close();
                file = name;
                shown = 0;
                bar = new Progress(screen, "downloading " + name, PARTS, System::nanoTime);
            }
            int parts = totalBytes <= 0 ? 0 : (int) (PARTS * bytes / totalBytes);
            bar.step(parts - shown);
            shown = parts;
            bar.note(ShortNumber.bytes(bytes) + (totalBytes < 0 ? "" : " of " + ShortNumber.bytes(totalBytes)));
        }

        @Override
        public void cacheUsed(String reason) {
            notice.accept(reason + "; the model in the cache is used, which may be an older one");
        }

        @Override
        public void close() {
            if (bar != null) {
                bar.close();
            }
            bar = null;
        }
    }
}
