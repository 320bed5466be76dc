package jqlora.bench;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import jqlora.ops.Dropout;
import jqlora.ops.Input;
import jqlora.ops.LinearGroup;
import jqlora.ops.LinearWeights;
import jqlora.ops.Link;
import jqlora.ops.Parameter;
import jqlora.ops.Weight;
import jqlora.ops.cpu.CpuOps;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;

/** Floating-point operations a second of the products of a step, on a dense float32 weight. */
final class MatmulBench {
    private static final List<int[]> WEIGHTS = List.of(new int[] {768, 768}, new int[] {2048, 768}, new int[] {768, 2048}, new int[] {32000, 768});

    private MatmulBench() { }

    static void run(Map<String, String> options) {
        if (!options.getOrDefault("dtypes", "float32,bfloat16").contains("float32")) {
            throw new IllegalArgumentException("--dtypes must contain float32, this side computes in nothing else");
        }
        int tokens = Bench.number(options, "tokens", 512);
        double seconds = Double.parseDouble(options.getOrDefault("seconds", "1"));
        try (CpuOps ops = Bench.backend(options)) {
            for (int[] shape : WEIGHTS) {
                int out = shape[0], in = shape[1];
                try (Tensor weight = random(ops, out, in); Tensor x = random(ops, tokens, in); Tensor dY = random(ops, tokens, out); Tensor dX = random(ops, tokens, in)) {
                    Link link = new Link(new Input.Kept(x), LinearGroup.of(new LinearWeights(new Weight.Dense(Parameter.frozen("weight", weight)), null, null)), null);
                    Measure forward = Measure.until(seconds, () -> ops.linear(link, null, Dropout.NONE).close());
                    emit(ops, forward, "forward", tokens, out, in);
                    Measure backward = Measure.until(seconds, () -> ops.linearBackward(dX, dY, List.of(link), Dropout.NONE));
                    emit(ops, backward, "input gradient", tokens, out, in);
                }
            }
        }
    }

    private static Tensor random(CpuOps ops, int rows, int columns) {
        RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(1);
        float[] values = new float[rows * columns];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return ops.upload(TensorView.ofFloats(values, rows, columns));
    }

    private static void emit(CpuOps ops, Measure measure, String operation, int tokens, int out, int in) {
        Map<String, Object> setting = new LinkedHashMap<>();
        setting.put("operation", operation);
        setting.put("tokens", tokens);
        setting.put("weight", out + "x" + in);
        setting.put("dtype", "float32");
        measure.emit("matmul", setting, 2.0 * tokens * out * in, Map.of(), ops.threads(), ops.description());
    }
}
