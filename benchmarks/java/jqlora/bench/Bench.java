package jqlora.bench;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import jqlora.ops.cpu.CpuOps;
import jqlora.ops.cpu.CpuOptions;

/** The Java side of the benchmarks; options and the printed line are described in benchmarks/README.md. */
public final class Bench {
    private Bench() { }

    public static void main(String[] args) throws Exception {
        try {
            if (args.length == 0) {
                throw new IllegalArgumentException("which benchmark? step, quantize or matmul");
            }
            Map<String, String> options = options(Arrays.copyOfRange(args, 1, args.length));
            switch (args[0]) {
                case "step" -> StepBench.run(options);
                case "quantize" -> QuantizeBench.run(options);
                case "matmul" -> MatmulBench.run(options);
                default -> throw new IllegalArgumentException("benchmark \"" + args[0] + "\" is not known; it must be step, quantize or matmul");
            }
        } catch (IllegalArgumentException refused) {
            System.err.println("bench: " + refused.getMessage());
            System.exit(2);
        }
    }

    /** {@code --name value} pairs; {@code --recompute} stands alone. */
    private static Map<String, String> options(String[] args) {
        Map<String, String> options = new LinkedHashMap<>();
        for (int i = 0; i < args.length; i++) {
            if (!args[i].startsWith("--")) {
                throw new IllegalArgumentException("option expected, not \"" + args[i] + "\"");
            }
            String name = args[i].substring(2);
            if (name.equals("recompute")) {
                options.put(name, "true");
            } else if (i + 1 < args.length) {
                options.put(name, args[++i]);
            } else {
                throw new IllegalArgumentException("--" + name + " needs a value");
            }
        }
        return options;
    }

    /** The backend on {@code --threads}, or on all processors that this process may use. */
    static CpuOps backend(Map<String, String> options) {
        String threads = options.get("threads");
        return CpuOps.open(threads == null ? CpuOptions.defaults() : CpuOptions.ofThreads("--threads", threads));
    }

    static int number(Map<String, String> options, String name, int otherwise) {
        String text = options.get(name);
        if (text != null && !text.matches("-?\\d{1,9}")) {
            throw new IllegalArgumentException("--" + name + " is \"" + text + "\", it must be a whole number");
        }
        return text == null ? otherwise : Integer.parseInt(text);
    }
}
