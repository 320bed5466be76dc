package jqlora.bench;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import jdk.incubator.vector.FloatVector;
import jqlora.format.PythonJson;

/** Clock, memory, neighbours and the JSON line. Where there is no /proc the fields that need it are left out. */
final class Measure {
    private static final double TICKS_PER_SECOND = 100;

    final List<Double> seconds = new ArrayList<>();
    final List<Double> others = new ArrayList<>();

    private Measure() { }

    static Measure create() {
        return new Measure();
    }

    /** A point in time: wall clock, CPU seconds of the whole machine and of this process. */
    record Instant(long nanos, double machine, double own) {
        static Instant now() {
            return new Instant(System.nanoTime(), machineSeconds(), ownSeconds());
        }
    }

    void add(Instant from, Instant to, int calls) {
        double wall = (to.nanos - from.nanos) / 1e9;
        seconds.add(wall / calls);
        others.add(Math.max(0, (to.machine - from.machine - (to.own - from.own)) / wall));
    }

    /** Rounds of {@code call} for {@code total} seconds, at least 3, each of so many calls that it takes a tenth of a second; the calls before are not counted. */
    static Measure until(double total, Runnable call) {
        for (int i = 0; i < 20; i++) {
            call.run();                                           // until the compiler is done
        }
        long began = System.nanoTime();
        call.run();
        int inner = (int) Math.max(1, Math.ceil(0.1 / ((System.nanoTime() - began) / 1e9)));
        Measure measure = new Measure();
        long end = System.nanoTime() + (long) (total * 1e9);
        while (measure.seconds.size() < 3 || System.nanoTime() < end) {
            Instant from = Instant.now();
            for (int i = 0; i < inner; i++) {
                call.run();
            }
            measure.add(from, Instant.now(), inner);
        }
        return measure;
    }

    private static double machineSeconds() {
        try {
            String[] fields = Files.readAllLines(Path.of("/proc/stat")).getFirst().split("\\s+");
            long ticks = 0;
            for (int index : new int[] {1, 2, 3, 6, 7, 8}) {
                ticks += Long.parseLong(fields[index]);
            }
            return ticks / TICKS_PER_SECOND;
        } catch (IOException absent) {
            return 0;
        }
    }

    private static double ownSeconds() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime() / 1e9;
    }

    /** A field of /proc/self/status in bytes, such as VmHWM; 0 where there is none. */
    static long statusBytes(String field) {
        try {
            for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
                if (line.startsWith(field + ":")) {
                    return Long.parseLong(line.replaceAll("\\D+", "")) * 1024;
                }
            }
        } catch (IOException absent) {
            return 0;
        }
        return 0;
    }

    /** The processor's name, as Linux gives it; "unknown" where it gives none. */
    private static String processor() {
        try {
            return Files.readAllLines(Path.of("/proc/cpuinfo")).stream().filter(line -> line.startsWith("model name")).findFirst()
                    .map(line -> line.substring(line.indexOf(':') + 1).strip()).orElse("unknown");
        } catch (IOException absent) {
            return "unknown";
        }
    }

    /** Lowers VmHWM to what is resident now. */
    static void resetPeak() throws IOException {
        Path clear = Path.of("/proc/self/clear_refs");
        if (Files.exists(clear)) {
            Files.writeString(clear, "5");
        }
    }

    void emit(String bench, Map<String, Object> setting, double work, Map<String, Object> figures, int threads, String product) {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("bench", bench);
        line.put("side", "java");
        line.put("setting", setting);
        line.put("work", work);
        line.put("seconds", seconds);
        line.put("others", others);
        line.putAll(figures);
        line.put("threads", threads);
        line.put("processor", processor());
        line.put("vector_bits", FloatVector.SPECIES_PREFERRED.vectorBitSize());
        line.put("versions", Map.of("java", Runtime.version().toString(), "product", product));
        System.out.println(PythonJson.defaults().dumps(line));
    }
}
