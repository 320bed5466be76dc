package jqlora.tensor;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A Linux control group with the processor's quota.
 *
 * @param version 1 or 2
 * @param mount where the hierarchy is mounted
 * @param folder the group's own, {@code mount} or below it
 */
record ControlGroup(int version, Path mount, Path folder) {
    private static final Pattern OCTAL = Pattern.compile("\\\\([0-7]{3})");

    /** Those of this process: of version 1, of version 2, both on systems that mix them, or none. */
    static List<ControlGroup> ofProcess(Path root) {
        List<ControlGroup> groups = new ArrayList<>();
        for (String line : lines(root.resolve("proc/self/cgroup"))) {
            String[] fields = line.split(":", 3);                 // number, controllers, path; number 0 without controllers is version 2
            if (fields.length == 3 && (line.startsWith("0::") || has(fields[1], "cpu"))) {
                addMounted(groups, root, line.startsWith("0::") ? 2 : 1, fields[2]);
            }
        }
        return groups;
    }

    private static void addMounted(List<ControlGroup> groups, Path root, int version, String path) {
        for (String line : lines(root.resolve("proc/self/mountinfo"))) {
            String[] halves = line.split(" - ", 2);               // ... root mount-point options - type source options
            String[] fields = halves[0].split(" "), type = halves.length < 2 ? new String[0] : halves[1].split(" ");
            boolean fits = fields.length >= 5 && type.length >= 3 && (version == 2 ? type[0].equals("cgroup2") : type[0].equals("cgroup") && has(type[2], "cpu"));
            if (fits) {
                try {
                    Path mount = root.resolve(plain(fields[4]).substring(1));
                    groups.add(new ControlGroup(version, mount, below(mount, plain(fields[3]), path)));
                    return;
                } catch (InvalidPathException | StringIndexOutOfBoundsException unreadable) {
                    continue;
                }
            }
        }
    }

    /** The group's folder: its path from the root of what is mounted on; in a container that sees only its own, the mount point. */
    private static Path below(Path mount, String mountedRoot, String path) {
        Path mounted = Path.of(mountedRoot), group = Path.of(path).normalize();
        Path folder = group.startsWith(mounted) ? mount.resolve(mounted.relativize(group)).normalize() : mount;
        return Files.isDirectory(folder) && folder.startsWith(mount) ? folder : mount;
    }

    private static boolean has(String list, String word) {
        return Arrays.asList(list.split(",")).contains(word);
    }

    /** A field of mountinfo, where blanks stand as {@code \040}. */
    private static String plain(String field) {
        return OCTAL.matcher(field).replaceAll(found -> Matcher.quoteReplacement(String.valueOf((char) Integer.parseInt(found.group(1), 8))));
    }

    private static List<String> lines(Path file) {
        try {
            return Files.readAllLines(file);
        } catch (IOException absent) {                            // not Linux, or not shown to this process
            return List.of();
        }
    }
}
