package jqlora.bench;

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import java.io.File;
import java.lang.management.ManagementFactory;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.nio.file.Path;
import java.util.ArrayList;
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
import jqlora.model.MemoryPlan;
import jqlora.model.MemoryPlanner;
import jqlora.model.RandomModel;
import jqlora.model.TokenBatch;
import jqlora.ops.AdamWState;
import jqlora.ops.AdamWStep;
import jqlora.ops.Ops;
import jqlora.ops.Parameter;
import jqlora.ops.Sequences;
import jqlora.ops.cuda.CudaOptions;
import jqlora.ops.cuda.CudaOps;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;

/**
 * Tokens a second of one QLoRA training step on a GPU: forward, backward, norm, clip, AdamW, and the norm and loss read by the host, for several seconds each.
 * Arguments are {@code key=value}: model=8b|70b|1b|tiny, settings=1x512,4x2048, seconds=6, resident=BYTES, budget=BYTES, attention=DETERMINISTIC|FASTEST,
 * tuning=HEURISTIC|MEASURED, products=BF16|FP8, recompute=true, keep=BYTES, kept=INPUT|ATTENTION, host=true, paged=true, plan=true, warm=3, breakdown=true, kernels=N, r=16,
 * dropout=0, libraries=FOLDERS, cache=FOLDER, layers=N, json=FILE.
 */
public final class GpuStepBench {
    private static final int PROFILED = 2;

    private GpuStepBench() { }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> options = BenchArguments.parse(arguments);
        CudaOptions cuda = CudaOptions.defaults().withResidentBytes((long) Double.parseDouble(options.getOrDefault("resident", "0")))
                .withBudgetBytes((long) Double.parseDouble(options.getOrDefault("budget", "0")))
                .withAttention(CudaOptions.Attention.valueOf(options.getOrDefault("attention", "DETERMINISTIC")))
                .withTuning(CudaOptions.Tuning.valueOf(options.getOrDefault("tuning", "HEURISTIC")))
                .withProducts(CudaOptions.Products.valueOf(options.getOrDefault("products", "BF16"))).withLibraries(BenchArguments.libraries(options));
        if (options.containsKey("cache")) {
            cuda = cuda.withCache(Path.of(options.get("cache")));
        }
        try (CudaOps ops = CudaOps.open(cuda)) {
            JsonRows.of(options).write(JsonRows.versions());
            boolean breakdown = Boolean.parseBoolean(options.getOrDefault("breakdown", "false"));
            Map<String, long[]> times = new TreeMap<>();
            boolean[] timing = {false};
            Ops used = breakdown ? timed(ops, times, timing) : ops;
            if (Boolean.parseBoolean(options.getOrDefault("plan", "false"))) {
                plan(ops, options);
                plan(CudaOps.rehearsalOf(ops.memory().limitBytes()), options);
            }
            long began = System.nanoTime();
            try (CausalLm model = RandomModel.create(config(options.getOrDefault("model", "8b"), options.get("layers")), LoadOptions.defaults(), used);
                    LoraAdapter adapter = LoraAdapter.create(model, lora(options), 1)) {
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
        Sequences sequences = sequences(setting, options);
        int[] ids = new Random(1).ints(sequences.rows(), 0, model.spec().vocabSize()).toArray();
        TokenBatch batch = TokenBatch.of(ids, ids, sequences);
        ActivationBudget budget = activations(options);
        int warmSteps = Integer.parseInt(options.getOrDefault("warm", "3"));
        double seconds = Double.parseDouble(options.getOrDefault("seconds", "6"));
        List<Parameter> parameters = adapter.parameters();
        List<AdamWState> states = states(ops, parameters, options);
        List<Double> wall = new ArrayList<>(), enqueued = new ArrayList<>();
        double loss = 0, norm = 0;
        KernelTimes kernels = null;
        JsonObject row = null;
        ops.resetPeak();
        try (Tensor sum = ops.zeros(DType.F64, 1); Tensor gradNorm = ops.zeros(DType.F64, 1)) {
            long until = Long.MAX_VALUE, began = 0;
            for (int step = 1; System.nanoTime() < until; step++) {
                if (step == 2) {
                    System.out.printf("first step done %.2f s after the process began%n", ManagementFactory.getRuntimeMXBean().getUptime() / 1e3);
                }
                boolean warm = step > warmSteps;
                if (step == warmSteps + 1) {
                    began = System.nanoTime();
                    until = began + (long) (seconds * 1e9);
                    timing[0] = true;
                }
                long from = System.nanoTime();
                step(used, model, batch, budget, states, parameters, sum, gradNorm, step);
                long put = System.nanoTime();
                norm = ops.download(gradNorm).data().get(TensorView.DOUBLE, 0);
                loss = ops.download(sum).data().get(TensorView.DOUBLE, 0) / batch.labelledTokens();
                if (step == 2) {
                    System.out.printf("%s after two steps: loss %.9f norm %.9f%n", setting, loss, norm);
                }
                if (warm) {
                    wall.add((System.nanoTime() - from) / 1e6);
                    enqueued.add((put - from) / 1e6);
                }
            }
            timing[0] = false;
            row = JsonRows.row("step", began);
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
        System.out.printf("%-7s %8.2f ms a step (least %.2f, most %.2f, %d steps), host %.2f ms: %.0f tok/s; peak of tensors %.2f GB, taken %.2f GB, of the host's memory %.2f GB; loss %.8f norm %.8f%n", setting, mean,
                wall.stream().mapToDouble(x -> x).min().orElse(0), wall.stream().mapToDouble(x -> x).max().orElse(0), wall.size(), host, 1000 * sequences.rows() / mean,
                ops.memory().peakBytes() / 1e9, ops.memory().reservedBytes() / 1e9, ops.memory().hostBytes() / 1e9, loss, norm);
        row.addProperty("setting", setting);
        row.add("options", new Gson().toJsonTree(options));
        row.addProperty("device", ops.description());
        row.addProperty("ms", mean);
        row.addProperty("least_ms", wall.stream().mapToDouble(x -> x).min().orElse(0));
        row.addProperty("most_ms", wall.stream().mapToDouble(x -> x).max().orElse(0));
        row.addProperty("host_ms", host);
        row.addProperty("steps", wall.size());
        row.addProperty("tokens_per_s", 1000 * sequences.rows() / mean);
        row.addProperty("peak_bytes", ops.memory().peakBytes());
        row.addProperty("taken_bytes", ops.memory().reservedBytes());
        row.addProperty("host_bytes", ops.memory().hostBytes());
        row.addProperty("loss", loss);
        row.addProperty("norm", norm);
        JsonRows.of(options).write(row);
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

    private static LoraConfig lora(Map<String, String> options) {
        return LoraConfig.defaults().withR(Integer.parseInt(options.getOrDefault("r", "16"))).withLoraAlpha(32).withLoraDropout(Float.parseFloat(options.getOrDefault("dropout", "0")));
    }

    private static Sequences sequences(String setting, Map<String, String> options) {
        int[] lengths = new int[Integer.parseInt(setting.split("x")[0])];
        for (int i = 0; i < lengths.length; i++) {
            lengths[i] = Integer.parseInt(setting.split("x")[1]) - (Boolean.parseBoolean(options.getOrDefault("ragged", "false")) ? 37 * i : 0);
        }
        return Sequences.ofLengths(lengths);
    }

    private static ActivationBudget activations(Map<String, String> options) {
        boolean host = Boolean.parseBoolean(options.getOrDefault("host", "false")), recompute = host || Boolean.parseBoolean(options.getOrDefault("recompute", "false"));
        return new ActivationBudget(Double.valueOf(options.getOrDefault("keep", recompute ? "0" : "9e18")).longValue(), ActivationBudget.Kept.valueOf(options.getOrDefault("kept", "INPUT")),
                host ? ActivationBudget.Place.HOST : ActivationBudget.Place.DEVICE);
    }

    private static List<AdamWState> states(Ops ops, List<Parameter> parameters, Map<String, String> options) {
        List<AdamWState> states = new ArrayList<>();
        for (Parameter parameter : parameters) {
            AdamWState state = new AdamWState(parameter, ops.zeros(DType.F32, parameter.value().shape().toArray()), ops.zeros(DType.F32, parameter.value().shape().toArray()));
            if (Boolean.parseBoolean(options.getOrDefault("paged", "false"))) {
                ops.offload(List.of(state.firstMoment(), state.secondMoment()));
            }
            states.add(state);
        }
        return states;
    }

    /** What each setting takes by the planner, before the model is made. */
    private static void plan(Ops ops, Map<String, String> options) throws Exception {
        CausalLm planned = MemoryPlanner.plannedModel(config(options.getOrDefault("model", "8b"), options.get("layers")), LoadOptions.defaults(), ops);
        List<Parameter> parameters = LoraAdapter.create(planned, lora(options), 1).parameters();
        MemoryPlanner planner = new MemoryPlanner(planned, on -> {
            List<AdamWState> states = states(on, parameters, options);
            return () -> on.adamW(states, null, null);
        });
        for (String setting : options.get("settings").split(",")) {
            long from = System.nanoTime();
            MemoryPlan plan = planner.plan(sequences(setting, options), activations(options));
            System.out.printf("plan by %s of %s, peak of tensors %.2f GB, made in %.2f s%n", ops.description(), plan, plan.peakBytes() / 1e9, (System.nanoTime() - from) / 1e9);
        }
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
            case "70b" -> new int[] {8192, 28672, 80, 64, 8, 128, 128256};
            case "8b" -> new int[] {4096, 14336, 32, 32, 8, 128, 128256};
            case "1b" -> new int[] {2048, 8192, 16, 32, 8, 64, 128256};
            case "tiny" -> new int[] {256, 512, 2, 4, 2, 64, 1000};
            default -> throw new IllegalArgumentException("model=" + name + ", it must be 8b, 70b, 1b or tiny");
        };
        return HfConfig.parse("config.json", """
                {"model_type": "llama", "hidden_size": %d, "intermediate_size": %d, "num_hidden_layers": %d, "num_attention_heads": %d, "num_key_value_heads": %d,
                 "head_dim": %d, "vocab_size": %d, "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": false,
                 "attention_bias": false, "mlp_bias": false, "rope_parameters": {"rope_theta": 500000.0, "rope_type": "default"}, "dtype": "bfloat16"}
                """.formatted(shape[0], shape[1], layers == null ? shape[2] : Integer.parseInt(layers), shape[3], shape[4], shape[5], shape[6]));
    }
}
