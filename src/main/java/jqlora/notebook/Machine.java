package jqlora.notebook;

import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import jqlora.device.Device;
import jqlora.device.Nvidia;
import jqlora.ops.Ops;
import jqlora.train.TrainingPlan;

/**
 * What this machine has, and what the notebook makes of it.
 *
 * @param processor its name; the architecture where the system does not tell
 * @param cores that this process may use; a container may have fewer than the machine
 * @param memoryBytes that this process may use
 * @param heapBytes of them that Java's own objects may use; weights lie outside of the heap
 * @param gpus their names; empty if there are none
 * @param gpuNote why a GPU that is there is not used; empty otherwise
 * @param computes what computes, such as {@code cpu: Vector API, 512 bits, 2 threads}
 * @param computeType of activations, such as {@code F32}
 * @param system operating system and Java
 */
public record Machine(String processor, int cores, long memoryBytes, long heapBytes, List<String> gpus, String gpuNote, String computes, String computeType, String system) {
    private static final Path PROCESSORS = Path.of("/proc/cpuinfo"), NVIDIA = Path.of("/proc/driver/nvidia/gpus");

    public Machine {
        gpus = List.copyOf(gpus);
    }

    /** This machine, computing on {@code ops}. */
    static Machine of(Ops ops, Nvidia nvidia) {
        int devices = nvidia.gpus();
        List<String> names = names(NVIDIA);
        List<String> gpus = devices == 0 ? List.of() : names.size() == devices ? names : Collections.nCopies(devices, "NVIDIA GPU");
        String note = devices == 0 || !Device.isProcessor(ops) ? "" : nvidia.missing().isEmpty() ? "not used in this notebook" : String.join("; ", nvidia.missing());
        return new Machine(processor(PROCESSORS), Runtime.getRuntime().availableProcessors(), memory(), Runtime.getRuntime().maxMemory(), gpus, note,
                ops.name() + ": " + ops.description(), ops.computeType().name(),
                System.getProperty("os.name") + " " + System.getProperty("os.arch") + ", Java " + Runtime.version());
    }

    /** What the system has, or a container's limit where that is less. */
    private static long memory() {
        return ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class).getTotalMemorySize();
    }

    /** {@code plan} for {@code ops}: on the processor, which sets no limit itself, within the memory of this machine. */
    static TrainingPlan planned(Ops ops, TrainingPlan plan) {
        return Device.isProcessor(ops) ? plan.within(memory()) : plan;
    }

    /** The name in Linux's list of processors; the architecture where there is none. */
    static String processor(Path list) {
        return value(list, "model name").orElse(System.getProperty("os.arch"));
    }

    /** The names of the GPUs that the driver lists; empty where it lists none. */
    static List<String> names(Path driver) {
        if (!Files.isDirectory(driver)) {
            return List.of();
        }
        try (Stream<Path> cards = Files.list(driver)) {
            return cards.sorted().map(card -> value(card.resolve("information"), "Model")).flatMap(Optional::stream).toList();
        } catch (IOException unreadable) {
            return List.of();
        }
    }

    private static Optional<String> value(Path file, String key) {
        try (Stream<String> lines = Files.lines(file)) {
            return lines.filter(line -> line.startsWith(key)).map(line -> line.substring(line.indexOf(':') + 1).strip()).findFirst();
        } catch (IOException | UncheckedIOException absent) {
            return Optional.empty();
        }
    }

    /** The table that a notebook shows. */
    Displayable view() {
        HtmlTable table = new HtmlTable("this machine", "");
        table.row("processor", processor).row("cores", String.valueOf(cores)).row("memory", ShortNumber.bytes(memoryBytes) + ", of which Java's heap at most " + ShortNumber.bytes(heapBytes));
        table.row("GPU", gpus.isEmpty() ? "none" : String.join(", ", gpus) + (gpuNote.isEmpty() ? "" : "; " + gpuNote));
        return table.row("models compute on", computes).row("activations in", computeType).row("system", system);
    }

    /** Such as {@code 2 cores, 24.0 GB, no GPU; cpu: Vector API, 512 bits, 2 threads}. */
    @Override
    public String toString() {
        return cores + " cores, " + ShortNumber.bytes(memoryBytes) + ", " + (gpus.isEmpty() ? "no GPU" : String.join(", ", gpus)) + "; " + computes;
    }
}
