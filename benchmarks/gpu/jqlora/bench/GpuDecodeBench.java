package jqlora.bench;

import com.google.gson.JsonObject;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import jqlora.lora.LoraAdapter;
import jqlora.lora.LoraConfig;
import jqlora.model.CausalLm;
import jqlora.model.Continuation;
import jqlora.model.Linear;
import jqlora.model.LoadOptions;
import jqlora.model.RandomModel;
import jqlora.ops.Activation;
import jqlora.ops.AttentionShape;
import jqlora.ops.KvCache;
import jqlora.ops.Dropout;
import jqlora.ops.Input;
import jqlora.ops.LinearGroup;
import jqlora.ops.LinearWeights;
import jqlora.ops.Link;
import jqlora.ops.OutputHead;
import jqlora.ops.Norm;
import jqlora.ops.Ops;
import jqlora.ops.Parameter;
import jqlora.ops.Repetition;
import jqlora.ops.Sampler;
import jqlora.ops.cuda.CudaOps;
import jqlora.ops.cuda.CudaOptions;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;

/**
 * Tokens a second of decoding one sequence on a GPU, NF4 with double quantization: several answers in turn, without and with an adapter, and the parts of
 * a step, each repeated by itself over all layers' own weights. Arguments are {@code key=value}: model=8b|1b|tiny, prompt=128, tokens=256, answers=8, r=16,
 * libraries=FOLDERS, layers=N, parts=true, json=FILE.
 */
public final class GpuDecodeBench {
    private static final int REPEATS = 40;

    private final CudaOps ops;
    private final CausalLm model;
    private final int layers;
    private final JsonRows rows;

    private GpuDecodeBench(CudaOps ops, CausalLm model, JsonRows rows) {
        this.ops = ops;
        this.model = model;
        this.layers = model.spec().numHiddenLayers();
        this.rows = rows;
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> options = BenchArguments.parse(arguments);
        CudaOptions cuda = CudaOptions.defaults().withResidentBytes(0).withLibraries(BenchArguments.libraries(options));
        int prompt = number(options, "prompt", 128), tokens = number(options, "tokens", 256), answers = number(options, "answers", 8);
        boolean[] asGraphs = {true};
        try (CudaOps ops = CudaOps.open(cuda); CausalLm model = RandomModel.create(GpuStepBench.config(options.getOrDefault("model", "8b"), options.get("layers")), LoadOptions.defaults(), backend(ops, asGraphs))) {
            ops.synchronize();
            System.out.printf("%s, %s: %.2f GB in use, options %s%n", ops.description(), model, ops.memory().bytesInUse() / 1e9, options);
            GpuDecodeBench bench = new GpuDecodeBench(ops, model, JsonRows.of(options));
            bench.copy();
            bench.answers("greedy", prompt, tokens, answers, new Sampler.Greedy());
            bench.answers("top p 0.9", prompt, tokens, 2, new Sampler.Random(1, 0, 0.9));
            asGraphs[0] = false;
            bench.answers("greedy, no graph", prompt, tokens, 2, new Sampler.Greedy());
            asGraphs[0] = true;
            if (Boolean.parseBoolean(options.getOrDefault("parts", "true"))) {
                bench.parts(prompt + tokens / 2, prompt + tokens);
            }
            try (LoraAdapter adapter = LoraAdapter.create(model, LoraConfig.defaults().withR(number(options, "r", 16)).withLoraAlpha(32), 1)) {
                bench.answers("greedy, LoRA r = " + adapter.config().r(), prompt, tokens, answers, new Sampler.Greedy());
            }
        }
    }

    private static int number(Map<String, String> options, String key, int otherwise) {
        return Integer.parseInt(options.getOrDefault(key, Integer.toString(otherwise)));
    }

    /** The backend, whose repetitions are done step by step where that is asked for. */
    private static Ops backend(CudaOps ops, boolean[] asGraphs) {
        return (Ops) Proxy.newProxyInstance(Ops.class.getClassLoader(), new Class<?>[] {Ops.class}, (proxy, method, arguments) -> {
            try {
                return method.getName().equals("repeat") && !asGraphs[0] ? Repetition.whenAsked(ops, (int) arguments[0], (Tensor) arguments[1], (Runnable) arguments[2])
                        : method.invoke(ops, arguments);
            } catch (InvocationTargetException failed) {
                throw failed.getCause();
            }
        });
    }

    /** The ruler: one buffer copied to another; a token reads as many bytes as weights, so half of a copy's traffic. */
    private void copy() {
        try (Tensor from = ops.zeros(DType.U8, 4L << 30); Tensor to = ops.allocate(DType.U8, 4L << 30)) {
            for (int i = 0; i < 5; i++) {
                ops.copyInto(to, from);
            }
            ops.synchronize();
            long began = System.nanoTime();
            for (int i = 0; i < REPEATS; i++) {
                ops.copyInto(to, from);
            }
            ops.synchronize();
            double gigabytesPerSecond = 2 * from.byteSize() * (double) REPEATS / (System.nanoTime() - began);
            System.out.printf("copy: %.0f GB/s read and written%n", gigabytesPerSecond);
            JsonObject row = JsonRows.row("copy", began);
            row.addProperty("gb_per_s", gigabytesPerSecond);
            rows.write(row);
        }
    }

    private void answers(String what, int prompt, int tokens, int answers, Sampler sampler) {
        int[] ids = new Random(1).ints(prompt, 0, model.spec().vocabSize()).toArray();
        List<Double> first = new ArrayList<>(), rate = new ArrayList<>(), whole = new ArrayList<>();
        int last = 0;
        long measured = 0;
        for (int answer = 0; answer < answers + 1; answer++) {
            long began = System.nanoTime(), firstAt = 0, thirdAt = 0;
            measured = answer == 1 ? began : measured;
            try (Continuation continuation = model.continuation(ids, tokens, sampler, new Random(2))) {
                for (int i = 0; i < tokens; i++) {
                    last = continuation.next();
                    firstAt = i == 0 ? System.nanoTime() : firstAt;
                    thirdAt = i == 3 ? System.nanoTime() : thirdAt;
                }
            }
            long ended = System.nanoTime();
            if (answer > 0) {
                first.add((firstAt - began) / 1e6);
                rate.add((ended - thirdAt) / 1e6 / (tokens - 4));
                whole.add(1e9 * tokens / (ended - began));
            }
        }
        System.out.printf("%-40s first token after %.1f ms, then %.3f ms a token (%.0f tokens/s; the fourth to the last), whole answers %.0f tokens/s; last token %d%n", what, mean(first), mean(rate),
                1000 / mean(rate), mean(whole), last);
        JsonObject row = JsonRows.row("decode", measured);
        row.addProperty("what", what);
        row.addProperty("prompt", prompt);
        row.addProperty("tokens", tokens);
        row.addProperty("answers", answers);
        row.addProperty("first_ms", mean(first));
        row.addProperty("ms", mean(rate));
        row.addProperty("tokens_per_s", 1000 / mean(rate));
        row.addProperty("whole_tokens_per_s", mean(whole));
        rows.write(row);
    }

    private static double mean(List<Double> values) {
        return values.stream().mapToDouble(x -> x).average().orElse(0);
    }

    // ---- parts

    private interface Part {
        Tensor run(int layer);
    }

    private void parts(int position, int maxLength) {
        AttentionShape shape = model.spec().attentionShape(0);
        int hidden = model.spec().hiddenSize(), intermediate = model.spec().mlp().intermediateSize();
        try (Tensor x = ops.zeros(DType.BF16, 1, hidden); Tensor middle = ops.zeros(DType.BF16, 1, intermediate); Tensor qkv = ops.zeros(DType.BF16, 1, shape.qkvColumns());
                Tensor attended = ops.zeros(DType.BF16, 1, shape.queryColumns()); Tensor gateUp = ops.zeros(DType.BF16, 1, 2L * intermediate); Tensor rstd = ops.zeros(DType.F32, 1);
                Norm norm = new Norm.Rms(Parameter.frozen("norm", ops.zeros(DType.BF16, hidden)), 0, 1e-5f); Tensor at = ops.upload(new int[] {position}); Tensor id = ops.zeros(DType.I32, 1);
                Tensor logits = ops.zeros(DType.BF16, 1, model.spec().vocabSize()); KvCache cache = model.newCache(1, maxLength)) {
            part("query, key, value", layer -> linear(new Input.Kept(x), group(layer, "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), null), "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj");
            part("output", layer -> linear(new Input.Kept(attended), group(layer, "self_attn.o_proj"), x), "self_attn.o_proj");
            part("gate, up", layer -> linear(new Input.Kept(x), group(layer, "mlp.gate_proj", "mlp.up_proj"), null), "mlp.gate_proj", "mlp.up_proj");
            part("down", layer -> linear(new Input.Kept(middle), group(layer, "mlp.down_proj"), x), "mlp.down_proj");
            part("attention", layer -> ops.cachedAttention(qkv, shape, at, cache, layer));
            part("norm", layer -> ops.compute(new Input.Normed(x, norm, rstd)));
            part("activation", layer -> ops.compute(new Input.Gated(gateUp, Activation.SILU)));
            Linear head = model.linear("lm_head");
            double ms = time(1, layer -> ops.scores(x, new OutputHead(new LinearWeights(head.weight(), head.bias(), null))));
            System.out.printf("  %-20s %8.2f us (%.0f GB/s)%n", "output layer", 1000 * ms, head.weight().byteSize() / ms / 1e6);
            write("output layer", ms, head.weight().byteSize());
            for (Sampler sampler : List.of(new Sampler.Greedy(), new Sampler.Random(1, 0, 0.9), new Sampler.Random(1, 50, 0.9))) {
                try (Tensor uniform = ops.zeros(DType.F64, 1, 1)) {
                    double choice = time(1, layer -> {
                        ops.nextTokens(id, at, logits, sampler, uniform);
                        return null;
                    });
                    System.out.printf("  %-20s %8.2f us%n", sampler, 1000 * choice);
                    write(sampler.toString(), choice, 0);
                }
            }
        }
    }

    private Tensor linear(Input input, List<LinearWeights> group, Tensor added) {
        return ops.linear(new Link(input, new LinearGroup(group), null), added, Dropout.NONE);
    }

    private List<LinearWeights> group(int layer, String... names) {
        return Arrays.stream(names).map(name -> model.linear("model.layers." + layer + "." + name)).map(linear -> new LinearWeights(linear.weight(), linear.bias(), null)).toList();
    }

    private void part(String what, Part part, String... names) {
        double ms = time(layers, part);
        double bytes = Arrays.stream(names).mapToDouble(name -> model.linear("model.layers.0." + name).weight().byteSize()).sum();
        System.out.printf("  %-20s %8.2f us a layer, %.3f ms a token%s%n", what, 1000 * ms / layers, ms, bytes == 0 ? "" : " (%.0f GB/s)".formatted(bytes * layers / ms / 1e6));
        write(what, ms, bytes * layers);
    }

    /** @param ms of a token, in all layers */
    private void write(String what, double ms, double bytes) {
        JsonObject row = JsonRows.row("decode part", System.nanoTime() - (long) (1e6 * ms * REPEATS));
        row.addProperty("what", what);
        row.addProperty("ms", ms);
        if (bytes > 0) {
            row.addProperty("gb_per_s", bytes / ms / 1e6);
        }
        rows.write(row);
    }

    /** Milliseconds of a graph of the part over {@code count} layers. */
    private double time(int count, Part part) {
        try (Tensor watched = ops.zeros(DType.I32, 1); Repetition repetition = ops.repeat(REPEATS + 5, watched, () -> {
            for (int layer = 0; layer < count; layer++) {
                Tensor made = part.run(layer);
                if (made != null) {
                    made.close();
                }
            }
        })) {
            for (int i = 0; i < 5; i++) {
                repetition.next();
            }
            long began = System.nanoTime();
            for (int i = 0; i < REPEATS; i++) {
                repetition.next();
            }
            return (System.nanoTime() - began) / 1e6 / REPEATS;
        }
    }
}
