package jqlora.bench;

import java.io.File;
import java.lang.management.ManagementFactory;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import jqlora.format.HfConfig;
import jqlora.lora.LoraAdapter;
import jqlora.lora.LoraConfig;
import jqlora.model.ActivationBudget;
import jqlora.model.CausalLm;
import jqlora.model.LoadOptions;
import jqlora.model.RandomModel;
import jqlora.model.TokenBatch;
import jqlora.ops.AdamWState;
import jqlora.ops.AdamWStep;
import jqlora.ops.Ops;
import jqlora.ops.Parameter;
import jqlora.ops.Sequences;
import jqlora.ops.cuda.CudaLibraries;
import jqlora.ops.cuda.CudaOptions;
import jqlora.ops.cuda.CudaOps;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;

/**
 * Tokens a second of one QLoRA training step on a GPU: forward, backward, norm, clip, AdamW, and the norm and loss read by the host, for several seconds each.
 * Arguments are {@code key=value}: model=8b|1b|tiny, settings=1x512,4x2048, seconds=6, resident=BYTES, budget=BYTES, attention=DETERMINISTIC|FASTEST,
 * tuning=HEURISTIC|MEASURED, products=BF16|FP8, recompute=true, breakdown=true, kernels=N, r=16, dropout=0, libraries=FOLDERS, cache=FOLDER, layers=N.
 */
public final class GpuStepBench {
    private static final int WARM = 3, PROFILED = 2;

    private GpuStepBench() { }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> options = new TreeMap<>();
        for (String argument : arguments) {
            options.put(argument.substring(0, argument.indexOf('=')), argument.substring(argument.indexOf('=') + 1));
        }
        CudaOptions cuda = CudaOptions.defaults().withResidentBytes((long) Double.parseDouble(options.getOrDefault("resident", "0")))
                .withBudgetBytes((long) Double.parseDouble(options.getOrDefault("budget", "0")))
                .withAttention(CudaOptions.Attention.valueOf(options.getOrDefault("attention", "DETERMINISTIC")))
                .withTuning(CudaOptions.Tuning.valueOf(options.getOrDefault("tuning", "HEURISTIC")))
                .withProducts(CudaOptions.Products.valueOf(options.getOrDefault("products", "BF16")));
        if (options.containsKey("libraries")) {
            cuda = cuda.withLibraries(new CudaLibraries(Arrays.stream(options.get("libraries").split(File.pathSeparator)).map(Path::of).toList()));
        }
        if (options.containsKey("cache")) {
            cuda = cuda.withCache(Path.of(options.get("cache")));
        }
        try (CudaOps ops = CudaOps.open(cuda)) {
            boolean breakdown = Boolean.parseBoolean(options.getOrDefault("breakdown", "false"));
            Map<String, long[]> times = new TreeMap<>();
            boolean[] timing = {false};
            Ops used = breakdown ? timed(ops, times, timing) : ops;
            long began = System.nanoTime();
            try (CausalLm model = RandomModel.create(config(options.getOrDefault("model", "8b"), options.get("layers")), LoadOptions.defaults(), used);
                    LoraAdapter adapter = LoraAdapter.create(model, LoraConfig.defaults().withR(Integer.parseInt(options.getOrDefault("r", "16"))).withLoraAlpha(32)
                            .withLoraDropout(Float.parseFloat(options.getOrDefault("dropout", "0"))), 1)) {
                ops.synchronize();
                System.out.printf("%s, %s: made in %.1f s, %.2f GB in use, options %s%n", ops.description(), model, (System.nanoTime() - began) / 1e9, ops.memory().bytesInUse() / 1e9, options);
                times.clear();
                for (String setting : options.getOrDefault("settings", "1x512,4x512,1x2048,4x2048,1x8192").split(",")) {
                    measure(ops, used, model, adapter, setting, options, times, timing);
                }
            }
        }
    }

    private static void measure(CudaOps ops, Ops used, CausalLm model, LoraAdapter adapter, String setting, Map<String, String> options, Map<String, long[]> times, boolean[] timing)
            throws ReflectiveOperationException {
        int count = Integer.parseInt(setting.split("x")[0]), length = Integer.parseInt(setting.split("x")[1]);
        int[] lengths = new int[count];
        Arrays.fill(lengths, length);
        if (Boolean.parseBoolean(options.getOrDefault("ragged", "false"))) {
            for (int i = 0; i < count; i++) {
                lengths[i] = length - 37 * i;
            }
        }
        Sequences sequences = Sequences.ofLengths(lengths);
        int[] ids = new Random(1).ints(sequences.rows(), 0, model.spec().vocabSize()).toArray();
        TokenBatch batch = TokenBatch.of(ids, ids, sequences);
        ActivationBudget budget = Boolean.parseBoolean(options.getOrDefault("recompute", "false")) ? ActivationBudget.recomputeAll() : ActivationBudget.keepAll();
        double seconds = Double.parseDouble(options.getOrDefault("seconds", "6"));
        List<AdamWState> states = new ArrayList<>();
        List<Parameter> parameters = adapter.parameters();
        parameters.forEach(parameter -> states.add(new AdamWState(parameter, ops.zeros(DType.F32, parameter.value().shape().toArray()), ops.zeros(DType.F32, parameter.value().shape().toArray()))));
        List<Double> wall = new ArrayList<>(), enqueued = new ArrayList<>();
        double loss = 0, norm = 0;
        KernelTimes kernels = null;
        ops.resetPeak();
        try (Tensor sum = ops.zeros(DType.F64, 1); Tensor gradNorm = ops.zeros(DType.F64, 1)) {
            long until = Long.MAX_VALUE;
            for (int step = 1; System.nanoTime() < until; step++) {
                if (step == 2) {
                    System.out.printf("first step done %.2f s after the process began%n", ManagementFactory.getRuntimeMXBean().getUptime() / 1e3);
                }
                boolean warm = step > WARM;
                if (step == WARM + 1) {
                    until = System.nanoTime() + (long) (seconds * 1e9);
                    timing[0] = true;
                }
                long from = System.nanoTime();
                step(used, model, batch, budget, states, parameters, sum, gradNorm, step);
                long put = System.nanoTime();
                norm = ops.download(gradNorm).data().get(TensorView.DOUBLE, 0);
                loss = ops.download(sum).data().get(TensorView.DOUBLE, 0) / batch.labelledTokens();
                if (warm) {
                    wall.add((System.nanoTime() - from) / 1e6);
                    enqueued.add((put - from) / 1e6);
                }
            }
            timing[0] = false;
            if (options.containsKey("kernels")) {
                if (!options.containsKey("libraries")) {
                    throw new IllegalArgumentException("kernels=" + options.get("kernels") + " needs libraries=FOLDER, the site-packages with nvidia-cuda-cupti");
                }
                kernels = KernelTimes.begin(Path.of(options.get("libraries").split(File.pathSeparator)[0]));
                for (int step = 0; step < PROFILED; step++) {
                    step(used, model, batch, budget, states, parameters, sum, gradNorm, 1000 + step);
                }
                ops.synchronize();
                kernels.end();
            }
        }
        double mean = wall.stream().mapToDouble(x -> x).average().orElse(0), host = enqueued.stream().mapToDouble(x -> x).average().orElse(0);
        System.out.printf("%-7s %8.2f ms a step (least %.2f, most %.2f, %d steps), host %.2f ms: %.0f tok/s; peak of tensors %.2f GB, taken %.2f GB; loss %.4f norm %.4f%n", setting, mean,
                wall.stream().mapToDouble(x -> x).min().orElse(0), wall.stream().mapToDouble(x -> x).max().orElse(0), wall.size(), host, 1000 * sequences.rows() / mean,
                ops.memory().peakBytes() / 1e9, ops.memory().reservedBytes() / 1e9, loss, norm);
        times.forEach((name, time) -> System.out.printf("    %-28s %9.3f ms a step, %5d calls%n", name, time[0] / 1e6 / wall.size(), time[1] / wall.size()));
        times.clear();
        if (kernels != null) {
            kernels.print(System.out, PROFILED, Integer.parseInt(options.get("kernels")));
        }
        states.forEach(AdamWState::close);
    }

    private static void step(Ops ops, CausalLm model, TokenBatch batch, ActivationBudget budget, List<AdamWState> states, List<Parameter> parameters, Tensor sum, Tensor norm, int step) {
        ops.fillZero(sum);
        model.forwardBackward(batch, 1.0 / batch.labelledTokens(), sum, step, budget);
        ops.gradientNorm(parameters, norm);
        ops.adamW(states, new AdamWStep(step, 1e-5, 0.9, 0.999, 1e-8, 0, 0.3), norm);
        ops.zeroGradients(parameters);
    }

    /** The operations with the device waited for before and after each; their sum is more than a step takes without. */
    private static Ops timed(CudaOps ops, Map<String, long[]> times, boolean[] timing) {
        return (Ops) Proxy.newProxyInstance(Ops.class.getClassLoader(), new Class<?>[] {Ops.class}, (proxy, method, arguments) -> {
            try {
                if (!timing[0]) {
                    return method.invoke(ops, arguments);
                }
                String name = method.getName().startsWith("linear") ? method.getName() + " of " + width(arguments) : method.getName();
                ops.synchronize();
                long from = System.nanoTime();
                Object result = method.invoke(ops, arguments);
                ops.synchronize();
                long[] time = times.computeIfAbsent(name, key -> new long[2]);
                time[0] += System.nanoTime() - from;
                time[1]++;
                return result;
            } catch (InvocationTargetException failed) {
                throw failed.getCause();
            }
        });
    }

    private static String width(Object[] arguments) {
        for (Object argument : arguments) {
            if (argument instanceof List<?> group) {
                return group.size() + " layers, in " + ((jqlora.ops.LinearWeights) group.getFirst()).weight().inFeatures();
            }
        }
        return "";
    }

    static HfConfig config(String name, String layers) throws Exception {
        int[] shape = switch (name) {
            case "8b" -> new int[] {4096, 14336, 32, 32, 8, 128, 128256};
            case "1b" -> new int[] {2048, 8192, 16, 32, 8, 64, 128256};
            case "tiny" -> new int[] {256, 512, 2, 4, 2, 64, 1000};
            default -> throw new IllegalArgumentException("model=" + name + ", it must be 8b, 1b or tiny");
        };
        return HfConfig.parse("config.json", """
                {"model_type": "llama", "hidden_size": %d, "intermediate_size": %d, "num_hidden_layers": %d, "num_attention_heads": %d, "num_key_value_heads": %d,
                 "head_dim": %d, "vocab_size": %d, "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": false,
                 "attention_bias": false, "mlp_bias": false, "rope_parameters": {"rope_theta": 500000.0, "rope_type": "default"}, "dtype": "bfloat16"}
                """.formatted(shape[0], shape[1], layers == null ? shape[2] : Integer.parseInt(layers), shape[3], shape[4], shape[5], shape[6]));
    }
}
