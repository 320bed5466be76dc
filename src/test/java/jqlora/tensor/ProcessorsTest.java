package jqlora.tensor;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Quotas of control groups, in files as Linux shows them. */
class ProcessorsTest {
    private static final String V2 = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    private static final String V1 = """
            25 23 0:22 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
            30 25 0:27 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
            31 25 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
            """;

    @TempDir
    private Path root;

    private void write(String path, String text) throws IOException {
        Path file = root.resolve(path);
        Files.createDirectories(file.getParent());
        Files.writeString(file, text);
    }

    private int threads(int visible) {
        return Processors.of(root, visible).threads();
    }

    @Test
    void nothingToRead() {
        assertEquals(new Processors(4, Double.POSITIVE_INFINITY, null), Processors.of(root, 4));
        assertEquals("4 processors", Processors.of(root, 4).toString());
        assertEquals("1 processor", Processors.of(root, 1).toString());
    }

    @Test
    void aContainerWithHalfAProcessorGetsOneThread() throws IOException {
        write("proc/self/cgroup", "0::/\n");
        write("proc/self/mountinfo", V2);
        write("sys/fs/cgroup/cpu.max", "50000 100000\n");
        assertEquals(1, threads(8));
        assertEquals("1 of 8 processors: " + root.resolve("sys/fs/cgroup/cpu.max") + " allows 0.50", Processors.of(root, 8).toString());
    }

    @Test
    void quotasOfVersion2() throws IOException {
        write("proc/self/cgroup", "0::/system.slice/jupyter.service\n");
        write("proc/self/mountinfo", V2);
        write("sys/fs/cgroup/system.slice/jupyter.service/cpu.max", "max 100000\n");
        assertEquals(8, threads(8), "no quota");
        write("sys/fs/cgroup/system.slice/jupyter.service/cpu.max", "250000 100000\n");
        assertEquals(3, threads(8), "two and a half");
        assertEquals(2, threads(2), "more than there are");
        write("sys/fs/cgroup/system.slice/cpu.max", "100000 100000\n");
        assertEquals(1, threads(8), "the group above allows less");
        write("sys/fs/cgroup/system.slice/cpu.max", "100000\n");
        assertEquals(3, threads(8), "a file that is cut short sets no limit");
        write("sys/fs/cgroup/system.slice/cpu.max", "lots 0\n");
        assertEquals(3, threads(8), "one that is no number neither");
    }

    @Test
    void quotasOfVersion1() throws IOException {
        write("proc/self/cgroup", "4:cpu,cpuacct:/user/me\n3:cpuset:/\n0::/other\n");
        write("proc/self/mountinfo", V1);
        write("sys/fs/cgroup/cpu,cpuacct/user/me/cpu.cfs_quota_us", "-1\n");
        write("sys/fs/cgroup/cpu,cpuacct/user/me/cpu.cfs_period_us", "100000\n");
        assertEquals(6, threads(6), "no quota");
        write("sys/fs/cgroup/cpu,cpuacct/user/me/cpu.cfs_quota_us", "150000\n");
        assertEquals(2, threads(6), "one and a half");
        write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "20000\n");
        write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "50000\n");
        assertEquals(0.4, Processors.of(root, 6).quota());
        assertEquals(root.resolve("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us"), Processors.of(root, 6).limit());
    }

    /** A container that is shown its own group only: what it is called outside is not to be found below the mount point. */
    @Test
    void pathsOutsideOfTheMount() throws IOException {
        write("proc/self/cgroup", "2:cpu:/docker/0123\n");
        write("proc/self/mountinfo", "31 25 0:28 /docker/0123 /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n");
        write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n");
        write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
        assertEquals(2, threads(6));
        for (String path : new String[] {"/docker/0123/below", "/kubepods/pod1", "/../../other", "/"}) {
            write("proc/self/cgroup", "2:cpu:" + path + "\n");
            assertEquals(2, threads(6), path);
        }
    }

    @Test
    void namesWithBlanks() throws IOException {
        write("proc/self/cgroup", "0::/a b\n");
        write("proc/self/mountinfo", "29 23 0:26 / /my\\040groups rw - cgroup2 cgroup2 rw\n");
        write("my groups/a b/cpu.max", "100000 100000\n");
        assertEquals(1, threads(8));
    }

    @Test
    void thisProcess() {
        Processors here = Processors.ofProcess();
        assertEquals(Runtime.getRuntime().availableProcessors(), here.visible());
        assertTrue(here.threads() >= 1 && here.threads() <= here.visible(), here.toString());
    }

    @Test
    void impossibleNumbers() {
        assertFails(IllegalArgumentException.class, () -> new Processors(0, 1, null), "visible is 0");
        assertFails(IllegalArgumentException.class, () -> new Processors(1, 0, null), "quota 0");
        assertFails(IllegalArgumentException.class, () -> new Processors(1, Double.NaN, null), "quota NaN");
    }
}
