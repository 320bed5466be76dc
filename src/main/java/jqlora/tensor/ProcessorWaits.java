package jqlora.tensor;

import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/**
 * How long threads have been ready to run without a processor, as Linux counts it; elsewhere nobody knows.
 *
 * @see <a href="https://www.kernel.org/doc/html/latest/scheduler/sched-stats.html">The kernel's documentation, /proc/&lt;pid&gt;/schedstat</a>
 */
final class ProcessorWaits {
    private static final Path OWN = Path.of("/proc/thread-self");

    private final List<String> files = new CopyOnWriteArrayList<>();
    private volatile String caller = "";
    private volatile Thread callingThread;

    /** Counts the current thread too, from now on. */
    void addCurrentThread() {
        String file = ownFile();
        if (file != null) {
            files.add(file);
        }
    }

    /** Counts the current thread too, until another one calls this. */
    void callFromCurrentThread() {
        if (callingThread != Thread.currentThread()) {
            caller = ownFile();
            callingThread = Thread.currentThread();
        }
    }

    /** Nanoseconds since the threads began, -1 where that is not known. */
    long nanos() {
        String calling = caller;
        if (calling == null || files.isEmpty()) {
            return -1;
        }
        long sum = calling.isEmpty() ? 0 : read(calling);
        for (String file : files) {
            long nanos = read(file);
            if (nanos < 0 || sum < 0) {
                return -1;
            }
            sum += nanos;
        }
        return sum;
    }

    private static String ownFile() {
        try {
            return Files.isSymbolicLink(OWN) ? "/proc/" + Files.readSymbolicLink(OWN) + "/schedstat" : null;
        } catch (IOException | RuntimeException unreadable) {
            return null;
        }
    }

    /** The second of the three numbers; a stream, since an interrupted thread could not read from a channel. */
    private static long read(String file) {
        try (InputStream in = new FileInputStream(file)) {
            String[] numbers = new String(in.readAllBytes(), StandardCharsets.US_ASCII).strip().split(" ");
            return Long.parseLong(numbers[1]);
        } catch (IOException | RuntimeException unreadable) {
            return -1;
        }
    }
}
