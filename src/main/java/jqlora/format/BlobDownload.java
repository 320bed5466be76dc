package jqlora.format;

import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/**
 * Downloads one file's bytes into the cache. They gather in {@code <etag>.incomplete}, which a later download continues, and take
 * their name when they are whole and, where the Hub tells it, their SHA-256 is right.
 */
final class BlobDownload {
    private static final long REPORTED_STEP = 1 << 20;
    private static final int LOCK_POLL_MILLIS = 200;

    private final HubHttp http;
    private final HubRepository repository;
    private final RemoteFile file;
    private final DownloadListener listener;
    private long furthest;

    BlobDownload(HubHttp http, HubRepository repository, RemoteFile file, DownloadListener listener) {
        this.http = http;
        this.repository = repository;
        this.file = file;
        this.listener = listener;
    }

    /** Makes {@code blob} unless another process does so meanwhile. */
    void into(Path blob) throws IOException {
        Path partial = blob.resolveSibling(blob.getFileName() + ".incomplete");
        try (FileChannel channel = FileChannel.open(partial, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
             FileLock lock = lockUnlessDone(channel, blob)) {
            if (lock == null) {
                Files.deleteIfExists(partial);                    // made anew by opening it
                return;
            }
            furthest = channel.size();
            fill(channel);
            if (file.hasSha256() && !sha256(channel).equals(file.etag())) {
                channel.truncate(0);                              // what an earlier download left may have been damaged: once more
                furthest = 0;
                fill(channel);
                String actual = sha256(channel);
                if (!actual.equals(file.etag())) {
                    channel.truncate(0);
                    throw new HubException(repository, file.name() + " arrived with SHA-256 " + actual + ", it must be " + file.etag());
                }
            }
            channel.force(true);
            Files.move(partial, blob, StandardCopyOption.REPLACE_EXISTING);
        }
    }

    /** The lock of the partial file; null if {@code blob} came to be while another held it. */
    private static FileLock lockUnlessDone(FileChannel channel, Path blob) throws IOException {
        while (true) {
            FileLock lock = null;
            try {
                lock = channel.tryLock();
            } catch (OverlappingFileLockException thisProcess) {
                lock = null;                                      // another thread of this process holds it
            }
            if (Files.exists(blob)) {
                return null;                                      // a lock is released when the channel is closed
            }
            if (lock != null) {
                return lock;
            }
            try {
                Thread.sleep(LOCK_POLL_MILLIS);
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
                throw new InterruptedIOException("interrupted while another download of " + blob.getFileName() + " goes on");
            }
        }
    }

    private void fill(FileChannel channel) throws IOException {
        http.withRetries(gotOn -> {
            append(channel, gotOn);
            return null;
        });
    }

    /** Asks for what is missing and appends it. */
    private void append(FileChannel channel, Runnable gotOn) throws IOException {
        if (file.size() >= 0 && channel.size() > file.size()) {
            channel.truncate(0);
        }
        long have = channel.size();
        if (have == file.size()) {
            listener.progress(file.name(), have, file.size());
            return;
        }
        HttpResponse<InputStream> response = http.send("GET", file.uri(), have);
        try (InputStream body = response.body()) {
            boolean continues = response.statusCode() == 206
                    && response.headers().firstValue("Content-Range").orElse("").startsWith("bytes " + have + "-");
            if (have > 0 && !continues) {
                channel.truncate(0);                              // the server sends the whole file, or does not have this part
                have = 0;
            }
            if (response.statusCode() / 100 != 2 || response.statusCode() == 206 && !continues) {
                throw new IOException(HubHttp.shown(file.uri()) + " answered " + response.statusCode() + " to a request for the rest of the file");
            }
            copy(body, channel.position(have), gotOn);
        }
        if (file.size() >= 0 && channel.size() != file.size()) {
            throw new IOException(file.name() + " ended after " + channel.size() + " bytes, it must have " + file.size());
        }
    }

    private void copy(InputStream body, FileChannel channel, Runnable gotOn) throws IOException {
        byte[] buffer = new byte[1 << 16];
        long reported = channel.position();
        listener.progress(file.name(), reported, file.size());
        for (int count = http.read(body, buffer); count >= 0; count = http.read(body, buffer)) {
            PendingFile.writeFully(channel, ByteBuffer.wrap(buffer, 0, count));
            if (channel.position() > furthest) {
                furthest = channel.position();
                gotOn.run();
            }
            if (channel.position() - reported >= REPORTED_STEP) {
                reported = channel.position();
                listener.progress(file.name(), reported, file.size());
            }
        }
        listener.progress(file.name(), channel.position(), file.size());
    }

    private static String sha256(FileChannel channel) throws IOException {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            ByteBuffer buffer = ByteBuffer.allocate(1 << 20);
            for (long at = 0; channel.read(buffer, at) > 0; buffer.clear()) {
                at += buffer.position();
                digest.update(buffer.flip());
            }
            return HexFormat.of().formatHex(digest.digest());
        } catch (NoSuchAlgorithmException everyJdkHasIt) {
            throw new AssertionError(everyJdkHasIt);
        }
    }
}
