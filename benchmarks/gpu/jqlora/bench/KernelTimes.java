package jqlora.bench;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.io.PrintStream;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * When each kernel ran, as the GPU recorded it, through CUPTI's activity records (CUPTI 13.0: {@code CUpti_ActivityKernel10}). The step runs as it does
 * otherwise: nothing waits.
 */
final class KernelTimes {
    private static final int MEMCPY = 1, MEMSET = 2, CONCURRENT_KERNEL = 10, FORCED = 1;
    private static final long START = 16, END = 24, GRID_X = 52, GRID_Y = 56, NAME = 104, BUFFER = 8L << 20, NAME_BYTES = 512;

    private static final Pattern TILE = Pattern.compile("_(\\d+)x(\\d+)_\\d+x\\d+_");
    private static final int NARROW = 64;

    private record Run(String name, int gridX, int gridY, long start, long end) { }

    private final SymbolLookup library;
    private final List<Run> runs = new ArrayList<>();

    private KernelTimes(SymbolLookup library) {
        this.library = library;
    }

    /** @param folder {@code site-packages} with the wheel nvidia-cuda-cupti */
    @SuppressWarnings("restricted")
    static KernelTimes begin(Path folder) throws ReflectiveOperationException {
        KernelTimes times = new KernelTimes(SymbolLookup.libraryLookup(folder.resolve("nvidia/cu13/lib/libcupti.so.13"), Arena.global()));
        MethodHandles.Lookup lookup = MethodHandles.lookup();
        MemorySegment request = Linker.nativeLinker().upcallStub(
                lookup.findVirtual(KernelTimes.class, "request", MethodType.methodType(void.class, MemorySegment.class, MemorySegment.class, MemorySegment.class)).bindTo(times),
                FunctionDescriptor.ofVoid(ADDRESS, ADDRESS, ADDRESS), Arena.global());
        MemorySegment complete = Linker.nativeLinker().upcallStub(
                lookup.findVirtual(KernelTimes.class, "complete", MethodType.methodType(void.class, MemorySegment.class, int.class, MemorySegment.class, long.class, long.class)).bindTo(times),
                FunctionDescriptor.ofVoid(ADDRESS, JAVA_INT, ADDRESS, JAVA_LONG, JAVA_LONG), Arena.global());
        times.call("cuptiActivityRegisterCallbacks", request, complete);
        for (int kind : new int[] {MEMCPY, MEMSET, CONCURRENT_KERNEL}) {
            times.call("cuptiActivityEnable", kind);
        }
        return times;
    }

    /** To be called when the device has been waited for. */
    void end() {
        call("cuptiActivityFlushAll", FORCED);
        for (int kind : new int[] {MEMCPY, MEMSET, CONCURRENT_KERNEL}) {
            call("cuptiActivityDisable", kind);
        }
    }

    @SuppressWarnings("restricted")
    void request(MemorySegment buffer, MemorySegment size, MemorySegment mostRecords) {
        buffer.reinterpret(8).set(ADDRESS, 0, Arena.global().allocate(BUFFER, 8));
        size.reinterpret(8).set(JAVA_LONG, 0, BUFFER);
        mostRecords.reinterpret(8).set(JAVA_LONG, 0, 0);
    }

    @SuppressWarnings("restricted")
    synchronized void complete(MemorySegment context, int stream, MemorySegment buffer, long size, long valid) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment record = arena.allocate(ADDRESS);
            while (status("cuptiActivityGetNextRecord", buffer, valid, record) == 0) {
                MemorySegment fields = record.get(ADDRESS, 0).reinterpret(216);
                int kind = fields.get(JAVA_INT, 0);
                String name = switch (kind) {
                    case CONCURRENT_KERNEL -> fields.get(ADDRESS, NAME).reinterpret(NAME_BYTES).getString(0);
                    case MEMCPY -> "copy";
                    case MEMSET -> "memset";
                    default -> "";
                };
                if (!name.isEmpty()) {
                    boolean kernel = kind == CONCURRENT_KERNEL;
                    runs.add(new Run(name, kernel ? fields.get(JAVA_INT, GRID_X) : 0, kernel ? fields.get(JAVA_INT, GRID_Y) : 0, fields.get(JAVA_LONG, START), fields.get(JAVA_LONG, END)));
                }
            }
        }
    }

    /** Parts of a step, then kernels by time with their launch grids. */
    synchronized void print(PrintStream out, int steps, int mostKernels) {
        Map<String, double[]> parts = new TreeMap<>(), kernels = new TreeMap<>();
        List<Run> inOrder = runs.stream().sorted(Comparator.comparingLong(Run::start)).toList();
        long busyUntil = inOrder.getFirst().start, idle = 0, first = busyUntil;
        for (Run run : inOrder) {
            idle += Math.max(0, run.start - busyUntil);
            busyUntil = Math.max(busyUntil, run.end);
            add(parts, part(run.name), run);
            add(kernels, run.name.substring(0, Math.min(90, run.name.length())) + " grid " + run.gridX + " " + run.gridY, run);
        }
        out.printf("    device: %.2f ms a step, of which idle %.2f; %d kernels and copies%n", (busyUntil - first) / 1e6 / steps, idle / 1e6 / steps, runs.size() / steps);
        parts.forEach((name, time) -> out.printf("    %-24s %9.3f ms a step, %6.0f launches%n", name, time[0] / steps, time[1] / steps));
        kernels.entrySet().stream().sorted(Comparator.comparingDouble(entry -> -entry.getValue()[0])).limit(mostKernels)
                .forEach(entry -> out.printf("      %9.3f ms a step, %6.1f launches of %7.1f us  %s%n", entry.getValue()[0] / steps, entry.getValue()[1] / steps,
                        1000 * entry.getValue()[0] / entry.getValue()[1], entry.getKey()));
    }

    private static void add(Map<String, double[]> to, String name, Run run) {
        double[] sum = to.computeIfAbsent(name, key -> new double[2]);
        sum[0] += (run.end - run.start) / 1e6;
        sum[1]++;
    }

    private static String part(String kernel) {
        return switch (kernel) {
            case "four_bit_decode", "four_bit_to_e4m3", "four_bit_to_e4m3_transposed" -> "decoding of weights";
            case "e4m3_rows", "scaled_product" -> "activations to e4m3";
            case "gradient_squares", "gradient_norm", "adam_w", "zero_gradients" -> "optimizer";
            case "adapter_operand", "copy_columns", "adapter_gradient", "add_adapter_sums", "dropped8", "add_dropped_product" -> "adapters, own kernels";
            case "cross_entropy", "add_losses", "gather_rows", "scatter_rows", "rms_norm", "rms_norm_again", "rms_norm_backward", "head_norm", "head_norm_backward", "rope", "rope8",
                 "layer_norm", "layer_norm_again", "layer_norm_backward", "gelu8", "gelu_backward8", "gelu_tanh8", "gelu_tanh_backward8", "gelu_rows_e4m3", "gelu_backward_rows_e4m3",
                 "gelu_tanh_rows_e4m3", "gelu_tanh_backward_rows_e4m3",
                 "silu8", "silu_backward8", "add_rows", "rms_norm8", "rms_norm_backward8", "silu_rows_e4m3", "silu_backward_rows_e4m3", "copy", "memset" -> "elementwise";
            default -> kernel.contains("_backward_adapters") ? "elementwise" : kernel.contains("flash") || kernel.contains("sdpa") || kernel.contains("fmha") || kernel.contains("cudnn") ? "attention" : product(kernel);
        };
    }

    /** By the tile of the result that a block computes: the adapters' inner columns are few, and so is one side of the tiles of products with them. */
    private static String product(String kernel) {
        Matcher tile = TILE.matcher(kernel);
        boolean narrow = kernel.contains("splitKreduce") || tile.find() && Math.min(Integer.parseInt(tile.group(1)), Integer.parseInt(tile.group(2))) <= NARROW;
        return narrow ? "products, narrow" : kernel.contains("_qq") ? "products in FP8" : "products, wide";
    }

    private void call(String function, Object... arguments) {
        int status = status(function, arguments);
        if (status != 0) {
            throw new IllegalStateException(function + ": " + status);
        }
    }

    @SuppressWarnings("restricted")
    private int status(String function, Object... arguments) {
        MemoryLayout[] layouts = new MemoryLayout[arguments.length];
        for (int i = 0; i < layouts.length; i++) {
            layouts[i] = arguments[i] instanceof Integer ? JAVA_INT : arguments[i] instanceof Long ? JAVA_LONG : ADDRESS;
        }
        try {
            return (int) Linker.nativeLinker().downcallHandle(library.findOrThrow(function), FunctionDescriptor.of(JAVA_INT, layouts)).invokeWithArguments(arguments);
        } catch (Throwable impossible) {
            throw new AssertionError(function + " throws nothing", impossible);
        }
    }
}
