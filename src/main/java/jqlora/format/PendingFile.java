package jqlora.format;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.UUID;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * A file that takes its name only when it is whole: written beside its target under a hidden name and forced to the disk, then
 * renamed by {@link #commit}. Closed without a commit, it is deleted, and what was there before stays.
 */
public final class PendingFile implements AutoCloseable {
    /** As Linux, macOS and Windows call them. */
    private static final List<String> ERRORS_OF_THE_DISK = List.of("No space left", "uota exceeded", "File too large", "not enough space", "disk is full",
            "nput/output error", "Read-only file system");
    private static final Pattern TEMPORARY = Pattern.compile("\\..+\\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\\.tmp");

    private final Path target;
    private final Path temporary;
    private boolean committed;

    private PendingFile(Path target, Path temporary) {
        this.target = target;
        this.temporary = temporary;
    }

    /** Writes the content of a file. */
    @FunctionalInterface
    public interface Body {
        void writeTo(FileChannel channel) throws IOException;
    }

    /**
     * Writes {@code body}, to appear as {@code target} on {@link #commit}; the folder must be there.
     *
     * @param bytes that it will have
     * @throws IOException if it cannot be written whole, such as on a full disk; the message names {@code target} and what it needs
     */
    public static PendingFile write(Path target, long bytes, Body body) throws IOException {
        Path temporary = target.resolveSibling("." + target.getFileName() + "." + UUID.randomUUID() + ".tmp");
        PendingFile pending = new PendingFile(target, temporary);
        boolean written = false;
        try (FileChannel channel = FileChannel.open(temporary, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            body.writeTo(channel);
            channel.force(true);
            written = true;
        } catch (IOException failed) {
            throw named(target, bytes, failed);
        } finally {
            if (!written) {
                pending.close();
            }
        }
        return pending;
    }

    /** The system's errors on a write, such as that the disk is full, do not say which file was written. What fails otherwise stays as it is. */
    private static IOException named(Path target, long bytes, IOException failed) {
        String problem = String.valueOf(failed.getMessage());
        if (ERRORS_OF_THE_DISK.stream().noneMatch(problem::contains)) {
            return failed;
        }
        return new IOException(target + ": could not be written: " + problem + "; it needs " + bytes + " bytes" + free(target) + "; nothing is left of it, and what"
                + " stood there before is as it was; make room on the disk, or take another folder", failed);
    }

    private static String free(Path target) {
        try {
            return ", there are " + Files.getFileStore(target.toAbsolutePath().getParent()).getUsableSpace() + " free";
        } catch (IOException unknown) {
            return "";                                            // the refusal must not fail over its own footnote
        }
    }

    /** Writes {@code text} in UTF-8 as {@code target}, whole or not at all. */
    public static void replace(Path target, String text) throws IOException {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        try (PendingFile file = write(target, bytes.length, channel -> writeFully(channel, ByteBuffer.wrap(bytes)))) {
            file.commit();
        }
    }

    /** Deletes what killed processes left half written in {@code folder}, where nobody may be writing now. */
    public static void deleteLeftovers(Path folder) throws IOException {
        List<Path> leftovers;
        try (Stream<Path> children = Files.list(folder)) {
            leftovers = children.filter(child -> TEMPORARY.matcher(child.getFileName().toString()).matches()).toList();
        }
        for (Path leftover : leftovers) {
            Files.delete(leftover);
        }
    }

    static void writeFully(FileChannel channel, ByteBuffer bytes) throws IOException {
        while (bytes.hasRemaining()) {
            channel.write(bytes);
        }
    }

    /** Gives the file its name, in place of what had it. */
    public void commit() throws IOException {
        try {
            Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE);
        } catch (AtomicMoveNotSupportedException unsupported) {
            Files.move(temporary, target, StandardCopyOption.REPLACE_EXISTING);
        }
        committed = true;
        forceFolder(target.toAbsolutePath().getParent());
    }

    /** Makes renames in {@code folder} last through a power cut, where the system can open a folder. */
    static void forceFolder(Path folder) {
        try (FileChannel channel = FileChannel.open(folder, StandardOpenOption.READ)) {
            channel.force(true);
        } catch (IOException unsupported) {
            return;                                               // Windows cannot; the rename itself is done
        }
    }

    /** Where the bytes are until {@link #commit}. */
    public Path temporary() {
        return temporary;
    }

    @Override
    public void close() throws IOException {
        if (!committed) {
            Files.deleteIfExists(temporary);
        }
    }
}
