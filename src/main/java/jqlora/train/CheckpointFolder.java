package jqlora.train;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import jqlora.format.PendingFile;

/**
 * The checkpoints of a run: folders {@code checkpoint-STEP} in its output folder. One is written under another name and renamed when it is whole,
 * so a folder with that name is always one that a run can go on from.
 */
public record CheckpointFolder(Path output) {
    private static final Pattern NAME = Pattern.compile("checkpoint-(\\d{1,9})");
    private static final String PARTIAL = ".partial-";

    /** Writes a checkpoint's files into a folder. */
    @FunctionalInterface
    interface Content {
        void write(Path folder) throws IOException;
    }

    /** The newest checkpoint; empty if there is none. */
    public Optional<Path> latest() throws IOException {
        List<Path> all = all();
        return all.isEmpty() ? Optional.empty() : Optional.of(all.getLast());
    }

    /** All checkpoints, the oldest first. */
    public List<Path> all() throws IOException {
        if (!Files.isDirectory(output)) {
            return List.of();
        }
        try (Stream<Path> children = Files.list(output)) {
            return children.filter(child -> NAME.matcher(child.getFileName().toString()).matches()).sorted(Comparator.comparingInt(CheckpointFolder::step)).toList();
        }
    }

    private static int step(Path folder) {
        Matcher matcher = NAME.matcher(folder.getFileName().toString());
        if (!matcher.matches()) {
            throw new IllegalArgumentException(folder + ": is no checkpoint, its name must be checkpoint-STEP");
        }
        return Integer.parseInt(matcher.group(1));
    }

    /**
     * Writes the checkpoint of {@code step} and removes those that are older than the {@code limit} newest.
     *
     * @throws IOException if it cannot be written whole, such as on a full disk; nothing is left of it then, and the checkpoints before are
     *        as they were
     */
    Path write(int step, int limit, Content content) throws IOException {
        Files.createDirectories(output);
        Path target = output.resolve("checkpoint-" + step), partial = output.resolve(PARTIAL + target.getFileName());
        delete(partial);
        Files.createDirectory(partial);
        try {
            content.write(partial);
        } catch (IOException | RuntimeException failed) {
            removeAfter(failed, partial);
            throw failed;
        }
        delete(target);
        Files.move(partial, target, StandardCopyOption.ATOMIC_MOVE);
        removeOldest(limit);
        return target;
    }

    private static void removeAfter(Exception failed, Path partial) {
        try {
            delete(partial);
        } catch (IOException stays) {
            failed.addSuppressed(stays);
        }
    }

    /** Removes the checkpoints that are older than the {@code limit} newest: a kill may have come before {@link #write} did. */
    void removeOldest(int limit) throws IOException {
        List<Path> all = new ArrayList<>(all());
        while (all.size() > limit) {
            delete(all.removeFirst());
        }
    }

    /** Removes all checkpoints, and {@code result}, the files that a finished run wrote beside them. */
    public void removeRun(List<String> result) throws IOException {
        for (Path checkpoint : all()) {
            delete(checkpoint);
        }
        for (String name : result) {
            Files.deleteIfExists(output.resolve(name));
        }
    }

    /** Removes what a killed run left half written, a checkpoint or the result. */
    void removePartial() throws IOException {
        if (!Files.isDirectory(output)) {
            return;
        }
        List<Path> partial;
        try (Stream<Path> children = Files.list(output)) {
            partial = children.filter(child -> child.getFileName().toString().startsWith(PARTIAL)).toList();
        }
        for (Path folder : partial) {
            delete(folder);
        }
        PendingFile.deleteLeftovers(output);
    }

    private static void delete(Path folder) throws IOException {
        if (!Files.exists(folder)) {
            return;
        }
        // first out of the way under the other name, so that a kill here never leaves a checkpoint without some of its files
        Path doomed = folder;
        if (!folder.getFileName().toString().startsWith(PARTIAL)) {
            doomed = folder.resolveSibling(PARTIAL + "old-" + folder.getFileName());
            delete(doomed);
            Files.move(folder, doomed, StandardCopyOption.ATOMIC_MOVE);
        }
        List<Path> deepestFirst;
        try (Stream<Path> tree = Files.walk(doomed)) {
            deepestFirst = tree.sorted(Comparator.reverseOrder()).toList();
        }
        for (Path path : deepestFirst) {
            Files.delete(path);
        }
    }
}
