package jqlora.tensor;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;

/**
 * The processors that this process may use: those that the JVM sees, less what a Linux control group allows, as of a container or of a
 * systemd unit with {@code CPUQuota}.
 *
 * @param visible that the JVM sees; it leaves out those that an affinity mask hides, and may leave out what the control group forbids
 * @param quota processors that the control group's quota allows on the average, such as 0.5; infinite where there is none
 * @param limit the file that sets the quota; null where there is none
 */
public record Processors(int visible, double quota, Path limit) {
    public Processors {
        if (visible < 1 || !(quota > 0)) {
            throw new IllegalArgumentException("Processors: visible is " + visible + " and quota " + quota + ", visible must be at least 1 and quota more than 0");
        }
    }

    /** Those of this process. */
    public static Processors ofProcess() {
        return of(Path.of("/"), Runtime.getRuntime().availableProcessors());
    }

    /**
     * Reads {@code proc/self/cgroup}, {@code proc/self/mountinfo} and the quotas of versions 1 and 2, the group's own and those above it, of
     * which the least holds. What is missing or cannot be read sets no limit.
     *
     * @param root folder with proc, and where the mount points begin
     * @param visible processors that the JVM sees
     * @see <a href="https://docs.kernel.org/admin-guide/cgroup-v2.html">Control Group v2, cpu.max</a>
     */
    public static Processors of(Path root, int visible) {
        Processors least = new Processors(visible, Double.POSITIVE_INFINITY, null);
        for (ControlGroup group : ControlGroup.ofProcess(root)) {
            for (Path folder = group.folder(); folder.startsWith(group.mount()); folder = folder.getParent()) {
                double quota = group.version() == 2 ? quota(words(folder.resolve("cpu.max")))
                        : quota(List.of(first(folder.resolve("cpu.cfs_quota_us")), first(folder.resolve("cpu.cfs_period_us"))));
                if (quota < least.quota) {
                    least = new Processors(visible, quota, folder.resolve(group.version() == 2 ? "cpu.max" : "cpu.cfs_quota_us"));
                }
            }
        }
        return least;
    }

    /** Microseconds of a quota and of its period; {@code max} and negative numbers stand for none. */
    private static double quota(List<String> words) {
        try {
            double quota = Double.parseDouble(words.get(0)) / Double.parseDouble(words.get(1));
            return quota > 0 ? quota : Double.POSITIVE_INFINITY;
        } catch (NumberFormatException | IndexOutOfBoundsException none) {
            return Double.POSITIVE_INFINITY;
        }
    }

    private static String first(Path file) {
        List<String> words = words(file);
        return words.isEmpty() ? "" : words.getFirst();
    }

    private static List<String> words(Path file) {
        try {
            return List.of(Files.readString(file).strip().split("\\s+"));
        } catch (IOException absent) {
            return List.of();
        }
    }

    /** How many threads these processors keep busy, at least 1; a part of a processor counts as one where it is more than one in all. */
    public int threads() {
        return (int) Math.clamp(Math.ceil(quota), 1, visible);
    }

    /** Such as {@code 1 of 4 processors: /sys/fs/cgroup/cpu.max allows 0.50}. */
    @Override
    public String toString() {
        String seen = visible + (visible == 1 ? " processor" : " processors");
        return quota == Double.POSITIVE_INFINITY ? seen
                : threads() + " of " + seen + ": " + limit + String.format(Locale.ROOT, " allows %.2f", quota);
    }
}
