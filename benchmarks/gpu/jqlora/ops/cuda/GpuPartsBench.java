package jqlora.ops.cuda;

import com.google.gson.JsonObject;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import jqlora.bench.BenchArguments;
import jqlora.bench.JsonRows;
import jqlora.ops.AttentionShape;
import jqlora.ops.Sequences;
import jqlora.ops.cuda.Matmul.Mat;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.TensorView;

/**
 * Times of the parts of a step of an 8B shape: products and attention, by the device's clock, in bursts. Arguments: fp8 for its products alone, numbers of rows, and
 * {@code key=value}: libraries=FOLDERS, json=FILE.
 */
public final class GpuPartsBench {
    private static final int REPEATS = 20;
    private final CudaDevice device = CudaDevice.open(0);
    private final DeviceMemory memory = new DeviceMemory(device, 60L << 30);
    private final DeviceTimer timer = new DeviceTimer(device, REPEATS);
    private final JsonRows json;
    private String arithmetic;
    private int rows;

    private GpuPartsBench(JsonRows json) {
        this.json = json;
    }

    public static void main(String[] arguments) {
        Map<String, String> options = BenchArguments.parse(Arrays.stream(arguments).filter(argument -> argument.contains("=")).toArray(String[]::new));
        List<String> words = Arrays.stream(arguments).filter(argument -> !argument.contains("=")).toList();
        CudaLibraries libraries = BenchArguments.libraries(options);
        libraries.require();
        JsonRows json = JsonRows.of(options);
        boolean all = !words.contains("fp8");
        for (int rows : words.stream().filter(word -> !word.equals("fp8")).mapToInt(Integer::parseInt).toArray()) {
            GpuPartsBench bench = new GpuPartsBench(json);
            if (all) {
                bench.products(rows);
            }
            bench.productsInFp8(rows, libraries);
        }
        if (!all) {
            return;
        }
        for (CudaOptions.Attention order : CudaOptions.Attention.values()) {
            try (CudaOps ops = CudaOps.open(CudaOptions.defaults().withLibraries(libraries).withAttention(order).withBudgetBytes(60L << 30))) {
                System.out.println(order);
                attention(json, order, ops, 2048, 2048, 2048, 2048);
                attention(json, order, ops, 2048, 2048, 2048, 1920);
                attention(json, order, ops, 512, 512, 512, 512);
                attention(json, order, ops, 300, 512, 77, 410);
                attention(json, order, ops, 8192);
                attention(json, order, ops, 5000, 3192);
            }
        }
    }

    private double time(Runnable work) {
        return timer.time(work);
    }

    /** What the next products are of. */
    private void begin(int rows, String arithmetic) {
        this.rows = rows;
        this.arithmetic = arithmetic;
    }

    private Mat random(Transfers transfers, long rows, long stride) {
        short[] values = new short[1 << 20];
        Random random = new Random(rows + stride);
        for (int i = 0; i < values.length; i++) {
            values[i] = jqlora.tensor.FloatConversion.toBf16((float) random.nextGaussian());
        }
        CudaTensor tensor = CudaTensor.allocate(memory, DType.BF16, Shape.of(rows * stride), 0);
        for (long at = 0; at < rows * stride; at += values.length) {
            java.lang.foreign.MemorySegment part = java.lang.foreign.MemorySegment.ofArray(values);
            transfers.upload(part.asSlice(0, 2 * Math.min(values.length, rows * stride - at)), tensor.address() + 2 * at);
        }
        return Mat.of(tensor.address(), stride, rows, stride);
    }

    private void products(int m) {
        try (Transfers transfers = new Transfers(device)) {
            for (CudaOptions.Tuning tuning : CudaOptions.Tuning.values()) {
                Matmul matmul = new Matmul(device, memory, tuning);
                begin(m, "BF16, " + tuning);
                System.out.println(m + " rows, " + tuning + ": ms (TFLOP/s; GB/s of operands)");
                for (int[] size : new int[][] {{6144, 4096, 48}, {4096, 4096, 16}, {28672, 4096, 32}, {4096, 14336, 16}}) {
                    int n = size[0], k = size[1], r = size[2], p = 64;
                    Mat x = random(transfers, m, k + p), w = random(transfers, n + p, k + p), y = random(transfers, m, n + p), inner = random(transfers, m, p);
                    Mat da = Mat.floats(memory.take(4L * p * k), k, r, k), db = Mat.floats(memory.take(4L * n * p), r, n, r);
                    report("y", n, k, time(() -> matmul.multiply(x, false, w.rows(0, n), true, y.columns(0, n))), 2.0 * m * n * (k + p), 2.0 * ((double) m * k + (double) n * k + (double) m * n));
                    report("y without adapter", n, k, time(() -> matmul.multiply(x.columns(0, k), false, w.rows(0, n).columns(0, k), true, y.columns(0, n))), 2.0 * m * n * k, 1);
                    report("x A", n, k, time(() -> matmul.multiply(x.columns(0, k), false, w.rows(n, p).columns(0, k), true, x.columns(k, p))), 2.0 * m * p * k, 2.0 * m * k);
                    report("dy B", n, k, time(() -> matmul.multiply(y.columns(0, n), false, w.rows(0, n).columns(k, p), false, y.columns(n, p))), 2.0 * m * p * n, 2.0 * m * n);
                    report("dx", n, k, time(() -> matmul.multiply(y, false, w.columns(0, k), false, x.columns(0, k))), 2.0 * m * (n + p) * k, 2.0 * ((double) m * k + (double) n * k + (double) m * n));
                    report("dx without adapter", n, k, time(() -> matmul.multiply(y.columns(0, n), false, w.rows(0, n).columns(0, k), false, x.columns(0, k))), 2.0 * m * n * k, 1);
                    report("dA", n, k, time(() -> matmul.multiply(y.columns(n, r), true, x.columns(0, k), false, da)), 2.0 * m * r * k, 2.0 * m * k);
                    report("dB", n, k, time(() -> matmul.multiply(y.columns(0, n), true, inner.columns(0, r), false, db)), 2.0 * m * r * n, 2.0 * m * n);
                    for (Mat made : List.of(x, w, y, inner, da, db)) {
                        memory.giveBack(made.address());
                    }
                }
                matmul.close();
            }
        }
    }

    private void productsInFp8(int m, CudaLibraries libraries) {
        try (Transfers transfers = new Transfers(device);
                Kernels kernels = new Kernels(device, new CubinCache(Nvrtc.open(libraries), null, device.name())); Matmul matmul = new Matmul(device, memory, CudaOptions.Tuning.HEURISTIC)) {
            begin(m, "FP8");
            System.out.println(m + " rows, FP8: ms (TFLOP/s; GB/s of operands)");
            for (int[] size : new int[][] {{6144, 4096, 48}, {4096, 4096, 16}, {28672, 4096, 32}, {4096, 14336, 16}}) {
                int n = size[0], k = size[1], r = size[2];
                Mat x = random(transfers, m, k), w = random(transfers, n, k), y = random(transfers, m, n), a = random(transfers, r, k), b = random(transfers, n, r), inner = random(transfers, m, r);
                long ofX = memory.take(4L * m), ofW = memory.take(4L * Math.max(n, k)), ofY = memory.take(4L * m);
                Mat x8 = eights(kernels, x, ofX), w8 = eights(kernels, w, ofW), y8 = eights(kernels, y, ofY), t8 = Mat.eights(w8.address(), k, n);
                double forward = 2.0 * m * n * k, bytes = (double) m * k + (double) n * k + 2.0 * m * n, bytesBack = (double) m * n + (double) n * k + 2.0 * m * k;
                report("x to e4m3", n, k, time(() -> eights(kernels, x, x8, ofX)), 0, 3.0 * m * k);
                report("dy to e4m3", n, k, time(() -> eights(kernels, y, y8, ofY)), 0, 3.0 * m * n);
                report("y unscaled", n, k, time(() -> matmul.multiplyEights(x8, w8, y)), forward, bytes);
                attempt("y", n, k, () -> matmul.multiplyEights(x8, ofX, w8, ofW, null, y), forward, bytes);
                attempt("y +=", n, k, () -> matmul.multiplyEights(x8, ofX, w8, ofW, y, y), forward, bytes);
                attempt("dx", n, k, () -> matmul.multiplyEights(y8, ofY, t8, ofW, null, x), forward, bytesBack);
                attempt("dx +=", n, k, () -> matmul.multiplyEights(y8, ofY, t8, ofW, x, x), forward, bytesBack);
                report("x A", n, k, time(() -> matmul.multiply(x, false, a, true, inner)), 2.0 * m * r * k, 2.0 * m * k);
                report("y = u B", n, k, time(() -> matmul.multiply(inner, false, b, true, y)), 2.0 * m * r * n, 2.0 * m * n);
                report("dy B", n, k, time(() -> matmul.multiply(y, false, b, false, inner)), 2.0 * m * r * n, 2.0 * m * n);
                report("dx = du A", n, k, time(() -> matmul.multiply(inner, false, a, false, x)), 2.0 * m * r * k, 2.0 * m * k);
                for (Mat made : List.of(x, w, y, a, b, inner, x8, w8, y8)) {
                    memory.giveBack(made.address());
                }
                for (long made : new long[] {ofX, ofW, ofY}) {
                    memory.giveBack(made);
                }
            }
        }
    }

    private Mat eights(Kernels kernels, Mat x, long scales) {
        Mat made = Mat.eights(memory.take(x.rows() * x.columns()), x.rows(), x.columns());
        eights(kernels, x, made, scales);
        return made;
    }

    private static void eights(Kernels kernels, Mat x, Mat to, long scales) {
        int threads = x.columns() > 14336 ? 512 : x.columns() > 7168 ? 256 : 128;
        kernels.get("fp8", "e4m3_rows").number(to.address()).number(scales).number(x.address()).number(x.stride()).integer(x.columns()).launch(x.rows(), threads);
    }

    /** A product that a version of cuBLASLt may not have. */
    private void attempt(String what, int n, int k, Runnable work, double operations, double bytes) {
        try {
            report(what, n, k, time(work), operations, bytes);
        } catch (CudaException refused) {
            System.out.printf("  %5d x %5d %-20s %s%n", n, k, what, refused.getMessage());
        }
    }

    private void report(String what, int n, int k, double ms, double operations, double bytes) {
        System.out.printf("  %5d x %5d %-20s %8.4f (%4.0f; %5.0f)%n", n, k, what, ms, operations / ms / 1e9, bytes / ms / 1e6);
        JsonObject row = JsonRows.row("product", System.nanoTime() - (long) (1e6 * ms * REPEATS));
        row.addProperty("arithmetic", arithmetic);
        row.addProperty("rows", rows);
        row.addProperty("out", n);
        row.addProperty("in", k);
        row.addProperty("what", what);
        row.addProperty("ms", ms);
        row.addProperty("tflops", operations / ms / 1e9);
        row.addProperty("gb_per_s", bytes / ms / 1e6);
        json.write(row);
    }

    private static void attention(JsonRows json, CudaOptions.Attention order, CudaOps ops, int... lengths) {
        AttentionShape shape = new AttentionShape(32, 8, 128, 0, (float) (1 / Math.sqrt(128)));
        Sequences sequences = Sequences.ofLengths(lengths);
        int rows = sequences.rows();
        float[] values = new float[rows * shape.qkvColumns()];
        Random random = new Random(1);
        for (int i = 0; i < values.length; i++) {
            values[i] = random.nextFloat() * 2 - 1;
        }
        short[] bits = new short[values.length];
        for (int i = 0; i < bits.length; i++) {
            bits[i] = jqlora.tensor.FloatConversion.toBf16(values[i]);
        }
        byte[] bytes = new byte[2 * bits.length];
        java.nio.ByteBuffer.wrap(bytes).order(java.nio.ByteOrder.LITTLE_ENDIAN).asShortBuffer().put(bits);
        ops.stage().reserveRoom(64);
        try (var qkv = ops.upload(new TensorView(DType.BF16, Shape.of(rows, shape.qkvColumns()), java.lang.foreign.MemorySegment.ofArray(bytes)));
                var logSumExp = ops.allocate(DType.F32, rows, 32); var dQkv = ops.allocate(DType.BF16, rows, shape.qkvColumns());
                var y = ops.attention(qkv, shape, sequences, logSumExp)) {
            ops.attentionBackward(dQkv, y, qkv, y, logSumExp, shape, sequences);
            ops.synchronize();
            long began = System.nanoTime();
            for (int i = 0; i < REPEATS; i++) {
                ops.attention(qkv, shape, sequences, logSumExp).close();
            }
            ops.synchronize();
            double forward = (System.nanoTime() - began) / 1e6 / REPEATS;
            began = System.nanoTime();
            for (int i = 0; i < REPEATS; i++) {
                ops.attentionBackward(dQkv, y, qkv, y, logSumExp, shape, sequences);
            }
            ops.synchronize();
            double backward = (System.nanoTime() - began) / 1e6 / REPEATS;
            System.out.printf("  attention of %s: forward %.3f ms, backward %.3f ms, %d plans%n", Arrays.toString(lengths), forward, backward, ops.attentionPlans());
            JsonObject row = JsonRows.row("attention", began);
            row.addProperty("order", order.name());
            row.addProperty("lengths", Arrays.toString(lengths));
            row.addProperty("forward_ms", forward);
            row.addProperty("backward_ms", backward);
            json.write(row);
        }
    }
}
