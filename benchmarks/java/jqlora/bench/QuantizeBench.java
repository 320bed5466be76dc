package jqlora.bench;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import jqlora.ops.Weight;
import jqlora.ops.cpu.CpuOps;
import jqlora.quant.FourBitCodec;
import jqlora.quant.FourBitFormat;
import jqlora.tensor.DType;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.Shape;
import jqlora.tensor.TensorView;
import jqlora.tensor.Workers;

/** Values a second through the fast 4-bit codec. */
final class QuantizeBench {
    private QuantizeBench() { }

    static void run(Map<String, String> options) {
        double seconds = Double.parseDouble(options.getOrDefault("seconds", "1"));
        try (CpuOps ops = Bench.backend(options); Workers workers = new Workers(ops.threads())) {
            FourBitCodec codec = FourBitCodec.fastest(workers);
            for (String shape : options.getOrDefault("shapes", "4096x4096,768x2048").split(",")) {
                for (String dtype : options.getOrDefault("dtypes", "float32,bfloat16").split(",")) {
                    for (boolean nested : new boolean[] {false, true}) {
                        one(codec, ops, shape, DType.ofTorchName(dtype), nested, seconds, workers.size());
                    }
                }
            }
        }
    }

    private static void one(FourBitCodec codec, CpuOps ops, String shapeText, DType dtype, boolean nested, double seconds, int threads) {
        String[] dims = shapeText.split("x");
        Shape shape = Shape.of(Long.parseLong(dims[0]), Long.parseLong(dims[1]));
        FourBitFormat format = FourBitFormat.defaults().withDoubleQuantization(nested).withDtype(dtype);
        try (Arena arena = Arena.ofShared()) {
            TensorView weight = random(shape, dtype, arena);
            Measure quantize = Measure.until(seconds, () -> {
                try (Arena result = Arena.ofShared()) {
                    codec.quantize(weight, format, result);
                }
            });
            quantize.emit("quantize", setting("quantize", shapeText, dtype, nested), shape.size(), Map.of(), threads, codec.getClass().getSimpleName());
            Measure dequantize;
            try (Weight.FourBit quantized = ops.quantize(weight, format)) {
                dequantize = Measure.until(seconds, () -> ops.toFloat(quantized).close());      // float32, in which this side computes
            }
            dequantize.emit("quantize", setting("dequantize", shapeText, dtype, nested), shape.size(), Map.of(), threads, codec.getClass().getSimpleName());
        }
    }

    private static TensorView random(Shape shape, DType dtype, Arena arena) {
        RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(1);
        float[] row = new float[(int) shape.dim(1)];
        MemorySegment data = arena.allocate(dtype.byteSize(shape.size()), 64);
        for (long i = 0; i < shape.dim(0); i++) {
            for (int j = 0; j < row.length; j++) {
                row[j] = 0.02f * (float) random.nextGaussian();
            }
            FloatConversion.fromFloats(row, 0, row.length, dtype, data, i * row.length);
        }
        return new TensorView(dtype, shape, data);
    }

    private static Map<String, Object> setting(String operation, String shape, DType dtype, boolean nested) {
        Map<String, Object> setting = new LinkedHashMap<>();
        setting.put("operation", operation);
        setting.put("shape", shape);
        setting.put("dtype", dtype.torchName());
        setting.put("double_quantization", nested);
        return setting;
    }
}
