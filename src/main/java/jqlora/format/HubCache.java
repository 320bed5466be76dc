package jqlora.format;

import java.io.IOException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.regex.Pattern;

/**
 * The cache that huggingface_hub and transformers use, shared with them:
 * {@code models--organisation--name/refs/main} holds a commit, {@code snapshots/<commit>/config.json} is a link to
 * {@code blobs/<etag>}.
 *
 * @param root the folder of all models, usually {@code ~/.cache/huggingface/hub}
 * @see <a href="https://huggingface.co/docs/huggingface_hub/guides/manage-cache">huggingface_hub, Understand caching</a>
 */
public record HubCache(Path root) {
    private static final Pattern ETAG = Pattern.compile("[\\w-][\\w.-]*");

    /**
     * Where huggingface_hub has its cache, by its own rules: {@code HF_HUB_CACHE}, else {@code hub} in {@code HF_HOME}, else
     * {@code huggingface/hub} in {@code XDG_CACHE_HOME} or {@code ~/.cache}.
     *
     * @param environment the process's environment, read by the caller
     * @param home the user's home folder
     */
    public static HubCache standard(Map<String, String> environment, Path home) {
        String cache = environment.getOrDefault("HF_HUB_CACHE", environment.get("HUGGINGFACE_HUB_CACHE"));
        if (cache != null) {
            return new HubCache(expand(cache, home));
        }
        return new HubCache(home(environment, home).resolve("hub"));
    }

    /** huggingface_hub's own folder: {@code HF_HOME}, else {@code huggingface} in {@code XDG_CACHE_HOME} or {@code ~/.cache}. */
    static Path home(Map<String, String> environment, Path home) {
        String given = environment.get("HF_HOME"), base = environment.get("XDG_CACHE_HOME");
        return given != null ? expand(given, home) : (base == null ? home.resolve(".cache") : expand(base, home)).resolve("huggingface");
    }

    private static Path expand(String path, Path home) {
        return path.equals("~") || path.startsWith("~/") ? home.resolve(path.substring(Math.min(2, path.length()))) : Path.of(path);
    }

    /**
     * The folder of a model or adapter that is whole in the cache; empty if it is not. Asks no server.
     *
     * @throws IOException if the cache cannot be read
     */
    public Optional<Path> find(HubRepository repository) throws IOException {
        Optional<Path> snapshot = snapshot(repository);
        return snapshot.isPresent() && HubFiles.missing(snapshot.get()).isEmpty() ? snapshot : Optional.empty();
    }

    /**
     * As {@link #find}: the way to work offline.
     *
     * @throws HubException if the model is not in the cache, or not whole; the message says what is missing
     */
    public Path require(HubRepository repository) throws IOException {
        Optional<Path> snapshot = snapshot(repository);
        if (snapshot.isEmpty()) {
            throw new HubException(repository, "is not in the cache " + root + "; download it first, or give the folder of a model");
        }
        Set<String> missing = HubFiles.missing(snapshot.get());
        if (!missing.isEmpty()) {
            throw new HubException(repository, "is only partly in the cache " + root + ", " + String.join(", ", missing)
                    + (missing.size() == 1 ? " is" : " are") + " missing; download it again");
        }
        return snapshot.get();
    }

    private Optional<Path> snapshot(HubRepository repository) throws IOException {
        Path reference = folder(repository).resolve("refs").resolve(repository.revision());
        String commit = repository.revision();
        if (!repository.isCommit()) {
            if (!Files.isRegularFile(reference)) {
                return Optional.empty();
            }
            commit = Files.readString(reference).strip();
        }
        if (!HubRepository.isCommit(commit)) {
            throw new HubException(repository, reference + " holds " + Quoted.of(commit) + ", it must be a commit of 40 hexadecimal digits");
        }
        Path snapshot = snapshot(repository, commit);
        return Files.isDirectory(snapshot) ? Optional.of(snapshot) : Optional.empty();
    }

    Path snapshot(HubRepository repository, String commit) {
        return folder(repository).resolve("snapshots").resolve(commit);
    }

    private Path folder(HubRepository repository) {
        return root.resolve(repository.folderName());
    }

    /** Where the bytes with the ETag {@code etag} lie.
     * @throws HubException if the server's ETag cannot be a file's name */
    Path blob(HubRepository repository, String etag) throws HubException {
        if (!ETAG.matcher(etag).matches()) {
            throw new HubException(repository, "the server gave the ETag " + Quoted.of(etag) + ", it must be letters, digits, '.', '_' and '-'");
        }
        return folder(repository).resolve("blobs").resolve(etag);
    }

    /** Makes {@code pointer}, a file of a snapshot, stand for {@code blob}, in one step: another process may be reading it. */
    static void link(Path blob, Path pointer) throws IOException {
        Files.createDirectories(pointer.getParent());
        Path temporary = pointer.resolveSibling("." + pointer.getFileName() + "." + UUID.randomUUID() + ".tmp");
        try {
            Files.createSymbolicLink(temporary, pointer.getParent().relativize(blob));
        } catch (UnsupportedOperationException | FileSystemException noLinks) {
            Files.move(blob, pointer, StandardCopyOption.REPLACE_EXISTING);   // Windows without the privilege; huggingface_hub does the same
            return;
        }
        Files.move(temporary, pointer, StandardCopyOption.ATOMIC_MOVE);
    }

    /** Notes that the revision is now {@code commit}. */
    void point(HubRepository repository, String commit) throws IOException {
        if (!repository.isCommit()) {
            Path reference = folder(repository).resolve("refs").resolve(repository.revision());
            if (!Files.exists(reference) || !Files.readString(reference).equals(commit)) {
                Files.createDirectories(reference.getParent());
                PendingFile.replace(reference, commit);
            }
        }
    }
}
