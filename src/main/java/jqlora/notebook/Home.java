package jqlora.notebook;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;
import jqlora.device.Device;
import jqlora.device.Nvidia;
import jqlora.ops.cpu.CpuOptions;

/** Where a notebook finds what ships with jqlora, and where it may write. */
public final class Home {
    private static final String HOME = "QLORA_HOME", MODEL = "JQLORA_MODEL", DEVICE = "JQLORA_DEVICE", THREADS = "JQLORA_THREADS", CUDA = "JQLORA_CUDA";
    /** The small model, within jqlora's folder. */
    public static final String EMBEDDED = "models/jqlora-tiny";

    private Home() { }

    /** jqlora's own folder: the environment variable QLORA_HOME, which our kernel sets, or the nearest folder above that has the embedded model. */
    public static Path folder() {
        String given = System.getenv(HOME);
        if (given != null && !given.isBlank()) {
            return Path.of(given);
        }
        for (Path folder = Path.of("").toAbsolutePath(); folder != null; folder = folder.getParent()) {
            if (Files.isDirectory(folder.resolve(EMBEDDED))) {
                return folder;
            }
        }
        throw new IllegalStateException("jqlora's folder is not known; set the environment variable " + HOME + " to it, or start the notebook inside it");
    }

    /** The model that a tutorial uses: the environment variable JQLORA_MODEL, which {@code ./jqlora run --model} sets, or the embedded one. */
    static Path model() {
        String given = System.getenv(MODEL);
        return given == null || given.isBlank() ? folder().resolve(EMBEDDED) : Path.of(given);
    }

    /** Where to compute: the environment variable JQLORA_DEVICE, which {@code ./jqlora run --device} sets, or whatever this machine has. */
    static Device device() {
        String given = System.getenv(DEVICE);
        return given == null || given.isBlank() ? Device.auto() : Device.parse(DEVICE, given);
    }

    /** How the processor is used: on as many threads as the environment variable JQLORA_THREADS says, which {@code ./jqlora run --threads} sets. */
    static CpuOptions processor() {
        String given = System.getenv(THREADS);
        return given == null || given.isBlank() ? CpuOptions.defaults() : CpuOptions.ofThreads(THREADS, given);
    }

    /**
     * NVIDIA's libraries: the folders in the environment variable JQLORA_CUDA, those that {@code ./jqlora setup --gpu} installed, the
     * system's; compiled kernels stay in jqlora's folder between two starts.
     */
    static Nvidia nvidia() {
        List<Path> folders = new ArrayList<>();
        String given = System.getenv(CUDA);
        if (given != null && !given.isBlank()) {
            Stream.of(given.split(File.pathSeparator)).map(Path::of).forEach(folders::add);
        }
        File[] pythons = folder().resolve(".jqlora/gpu/lib").toFile().listFiles();
        if (pythons != null) {                                    // null: not installed
            Stream.of(pythons).map(python -> python.toPath().resolve("site-packages")).forEach(folders::add);
        }
        return new Nvidia(folders, folder().resolve(".jqlora/cubins"));
    }

    static boolean isEmbedded(Path model) {
        return model.endsWith(EMBEDDED);
    }

    /** An empty folder for what a notebook writes; what an earlier run left in it is removed. */
    static Path freshFolder(String name) throws IOException {
        if (!name.matches("[\\w.-]+") || name.startsWith(".")) {
            throw new IllegalArgumentException("freshFolder: \"" + name + "\" must be a plain name of letters, digits, '-', '_' and '.'");
        }
        Path folder = folder().resolve(".jqlora/work").resolve(name);
        if (Files.exists(folder)) {
            List<Path> deepestFirst;
            try (Stream<Path> tree = Files.walk(folder)) {
                deepestFirst = tree.sorted(Comparator.reverseOrder()).toList();
            }
            for (Path path : deepestFirst) {
                Files.delete(path);
            }
        }
        return Files.createDirectories(folder);
    }
}
