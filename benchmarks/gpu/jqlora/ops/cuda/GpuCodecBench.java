package jqlora.ops.cuda;

import static org.bytedeco.cuda.global.cudart.cuMemcpyDtoDAsync;

import com.google.gson.JsonObject;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import jqlora.bench.BenchArguments;
import jqlora.bench.JsonRows;
import jqlora.ops.AdamW8bitState;
import jqlora.ops.AdamWState;
import jqlora.ops.AdamWStep;
import jqlora.ops.LoraFactors;
import jqlora.ops.MergedStorage;
import jqlora.ops.Parameter;
import jqlora.ops.Weight;
import jqlora.quant.FourBitFormat;
import jqlora.tensor.DType;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;

/**
 * Times of encoding, decoding and merging one weight of 14336 x 4096, and of optimizers, by the device's clock, beside a copy in the device's memory.
 * Arguments are {@code key=value}: libraries=FOLDERS, json=FILE.
 */
public final class GpuCodecBench {
    private static final int REPEATS = 40, OUTS = 14336, INS = 4096;
    private static final long ELEMENTS = (long) OUTS * INS, ADAPTER = 42_000_000;

    private final CudaDevice device = CudaDevice.open(0);
    private final DeviceTimer timer = new DeviceTimer(device, REPEATS);
    private final DeviceMemory memory = new DeviceMemory(device, 8L << 30);
    private final Transfers transfers = new Transfers(device);
    private final JsonRows rows;

    private GpuCodecBench(JsonRows rows) {
        this.rows = rows;
    }

    public static void main(String[] arguments) {
        Map<String, String> options = BenchArguments.parse(arguments);
        CudaLibraries libraries = BenchArguments.libraries(options);
        libraries.require();
        new GpuCodecBench(JsonRows.of(options)).run(CudaOptions.defaults().withLibraries(libraries).withBudgetBytes(16L << 30));
    }

    private void run(CudaOptions options) {
        Kernels kernels = new Kernels(device, new CubinCache(Nvrtc.open(options.libraries()), options.cache(), device.name() + " " + device.driverVersion()));
        FourBitDecoder codec = new FourBitDecoder(memory, kernels, transfers);
        long numbers = memory.take(2 * ELEMENTS), floats = memory.take(4 * ELEMENTS), decoded = memory.take(2 * (INS + 64L) * OUTS);
        fill(numbers, floats);
        report("copy of 1 GB in the device", 2e9, time(() -> CudaDevice.check("cuMemcpyDtoDAsync", cuMemcpyDtoDAsync(decoded, numbers, 2 * ELEMENTS, device.stream()))) * 1e9 / (2.0 * ELEMENTS));
        FourBitFormat plain = FourBitFormat.defaults().withDoubleQuantization(false).withDtype(DType.BF16), doubled = plain.withDoubleQuantization(true);
        Shape shape = Shape.of(OUTS, INS);
        double encoded = ELEMENTS * (2 + 0.5 + 4.0 / 64);
        report("encode BF16, absmax in 32 bits", encoded, time(() -> codec.encode(numbers, DType.BF16, shape, plain).close()));
        report("encode F32, absmax in 32 bits", encoded + 2.0 * ELEMENTS, time(() -> codec.encode(floats, DType.F32, shape, plain).close()));
        report("encode BF16, blocks of 4096", encoded, time(() -> codec.encode(numbers, DType.BF16, shape, plain.withBlockSize(4096)).close()));
        report("encode BF16, double quantization, waited for", encoded, time(() -> codec.encode(numbers, DType.BF16, shape, doubled).close()));
        report("encode F32 at random", encoded + 6.0 * ELEMENTS, time(() -> codec.encodeAtRandom(floats, shape, plain, 1, 1).close()));
        try (Weight.FourBit weight = codec.encode(numbers, DType.BF16, shape, plain)) {
            report("decode, absmax in 32 bits", encoded, time(() -> codec.decode(weight, decoded, INS, device.stream())));
        }
        try (Weight.FourBit weight = codec.encode(numbers, DType.BF16, shape, doubled)) {
            report("decode, double quantization", ELEMENTS * (2.5 + 1.0 / 64), time(() -> codec.decode(weight, decoded, INS, device.stream())));
            report("decode, double quantization, rows apart", ELEMENTS * (2.5 + 1.0 / 64), time(() -> codec.decode(weight, decoded, INS + 64, device.stream())));
        }
        merges(options);
        optimizers(options);
    }

    private void merges(CudaOptions options) {
        try (CudaOps ops = CudaOps.open(options); Tensor numbers = ops.allocate(DType.BF16, OUTS, INS)) {
            ops.fillZero(numbers);
            FourBitFormat format = FourBitFormat.defaults().withDtype(DType.BF16);
            for (int r : new int[] {16, 64}) {
                try (Tensor a = ops.zeros(DType.F32, r, INS); Tensor b = ops.zeros(DType.F32, OUTS, r);
                        Weight base = ops.merge("w", new Weight.Dense(Parameter.frozen("w", numbers)), factors(a, b), new MergedStorage.Nearest(format))) {
                    for (MergedStorage storage : List.of(new MergedStorage.Numbers(DType.BF16), new MergedStorage.Nearest(format), new MergedStorage.Stochastic(format, 1))) {
                        ops.merge("w", base, factors(a, b), storage).close();
                        long began = System.nanoTime();
                        for (int i = 0; i < REPEATS; i++) {
                            ops.merge("w", base, factors(a, b), storage).close();
                        }
                        ops.synchronize();
                        reportWaited("merge r=" + r + ", " + storage.getClass().getSimpleName() + ", waited for", began);
                    }
                }
            }
        }
    }

    private static LoraFactors factors(Tensor a, Tensor b) {
        return new LoraFactors(Parameter.frozen("a", a), Parameter.frozen("b", b), 2, 0, 1);
    }

    private void optimizers(CudaOptions options) {
        try (CudaOps ops = CudaOps.open(options); Tensor norm = ops.zeros(DType.F64, 1)) {
            List<Parameter> parameters = new ArrayList<>();
            for (int i = 0; i < 200; i++) {
                parameters.add(new Parameter("p" + i, ops.zeros(DType.F32, ADAPTER / 200), ops.zeros(DType.F32, ADAPTER / 200)));
            }
            List<AdamWState> states = parameters.stream().map(p -> new AdamWState(p, ops.zeros(DType.F32, ADAPTER / 200), ops.zeros(DType.F32, ADAPTER / 200))).toList();
            List<AdamW8bitState> states8 = parameters.stream().map(p -> AdamW8bitState.create(ops, p)).toList();
            AdamWStep step = new AdamWStep(1, 1e-3, 0.9, 0.999, 1e-8, 0, 0.3);
            for (boolean eight : new boolean[] {false, true}) {
                List<List<Tensor>> moments = eight ? states8.stream().map(AdamW8bitState::tensors).toList() : states.stream().map(AdamWState::tensors).toList();
                Runnable update = () -> {
                    if (eight) {
                        ops.adamW8bit(states8, step, norm);
                    } else {
                        ops.adamW(states, step, norm);
                    }
                };
                for (boolean paged : new boolean[] {false, true}) {
                    if (paged) {
                        moments.forEach(ops::offload);
                    }
                    update.run();
                    ops.synchronize();
                    long began = System.nanoTime();
                    for (int i = 0; i < REPEATS; i++) {
                        update.run();
                    }
                    ops.synchronize();
                    reportWaited("AdamW of 42 million, moments in " + (eight ? "8" : "32") + " bits" + (paged ? ", paged" : ""), began);
                }
            }
            states.forEach(AdamWState::close);
            states8.forEach(AdamW8bitState::close);
            parameters.forEach(Parameter::close);
        }
    }

    private void fill(long numbers, long floats) {
        int count = 1 << 20;
        MemorySegment halves = MemorySegment.ofArray(new byte[2 * count]), wholes = MemorySegment.ofArray(new byte[4 * count]);
        Random random = new Random(1);
        for (int i = 0; i < count; i++) {
            float value = (float) (0.02 * random.nextGaussian());
            halves.set(TensorView.SHORT, 2L * i, FloatConversion.toBf16(value));
            wholes.set(TensorView.FLOAT, 4L * i, value);
        }
        for (long at = 0; at < ELEMENTS; at += count) {
            transfers.upload(halves, numbers + 2 * at);
            transfers.upload(wholes, floats + 4 * at);
        }
    }

    private double time(Runnable work) {
        return timer.time(work);
    }

    private void report(String what, double bytes, double ms) {
        System.out.printf("%-46s %8.4f ms, %5.2f TB/s%n", what, ms, bytes / ms / 1e9);
        JsonObject row = JsonRows.row("codec", System.nanoTime() - (long) (1e6 * ms * REPEATS));
        row.addProperty("what", what);
        row.addProperty("ms", ms);
        row.addProperty("tb_per_s", bytes / ms / 1e9);
        rows.write(row);
    }

    /** A mean by the host's clock over {@link #REPEATS}, of which the last has been waited for. */
    private void reportWaited(String what, long began) {
        double ms = (System.nanoTime() - began) / 1e6 / REPEATS;
        System.out.printf("%-46s %8.4f ms%n", what, ms);
        JsonObject row = JsonRows.row("codec", began);
        row.addProperty("what", what);
        row.addProperty("ms", ms);
        rows.write(row);
    }
}
