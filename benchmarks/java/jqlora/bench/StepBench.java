package jqlora.bench;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import jqlora.data.BatchPlan;
import jqlora.data.TokenizedRow;
import jqlora.lora.LoraAdapter;
import jqlora.lora.LoraConfig;
import jqlora.model.ActivationBudget;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.ModelLoader;
import jqlora.ops.cpu.CpuOps;
import jqlora.tensor.DType;
import jqlora.train.BatchConfig;
import jqlora.train.LearningRate;
import jqlora.train.SftConfig;
import jqlora.train.SftTrainer;
import jqlora.train.TrainEvent;
import jqlora.train.TrainedWeights;

/** Seconds and memory of one QLoRA training step. */
final class StepBench {
    private static final String SEVEN = "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj";

    private StepBench() { }

    static void run(Map<String, String> options) throws Exception {
        if (!options.getOrDefault("dtype", "float32").equals("float32")) {
            throw new IllegalArgumentException("--dtype is " + options.get("dtype") + ", this side computes in float32 only");
        }
        Path folder = Path.of(options.getOrDefault("model", defaultFolder()));
        int batch = Bench.number(options, "batch", 1), length = Bench.number(options, "length", 512), r = Bench.number(options, "r", 16);
        int warmup = Bench.number(options, "warmup", 1), steps = Bench.number(options, "steps", 5), seed = Bench.number(options, "seed", 0);
        String targets = options.getOrDefault("targets", SEVEN);
        boolean recompute = options.containsKey("recompute");
        long began = System.nanoTime();
        try (CpuOps ops = Bench.backend(options);
                CausalLm model = ModelLoader.load(folder, LoadOptions.defaults().withDtype(DType.F32), ops, LoadListener.SILENT);
                LoraAdapter adapter = LoraAdapter.create(model, LoraConfig.defaults().withR(r).withLoraAlpha(Bench.number(options, "alpha", 32)).withLoraDropout(0)
                        .withTargetModules(targets.split(",")), seed)) {
            double loadSeconds = (System.nanoTime() - began) / 1e9;
            long loadPeak = Measure.statusBytes("VmHWM");
            System.gc();
            Measure.resetPeak();
            long loaded = Measure.statusBytes("VmRSS");
            List<TokenizedRow> rows = new ArrayList<>();
            for (int step = 0; step < warmup + steps; step++) {
                int[] ids = tokens(seed + step, batch * length, model.spec().vocabSize());
                for (int row = 0; row < batch; row++) {
                    rows.add(new TokenizedRow(java.util.Arrays.copyOfRange(ids, row * length, (row + 1) * length), 0));
                }
            }
            SftConfig config = SftConfig.defaults().withMaxSteps(warmup + steps).withLearningRate(LearningRate.constant(2e-4))
                    .withBatches(new BatchConfig(batch, 1, BatchPlan.Order.AS_GIVEN, BatchConfig.Normalization.TOKENS))
                    .withActivations(recompute ? ActivationBudget.recomputeAll() : ActivationBudget.keepAll());
            Measure measure = Measure.create();
            List<Double> losses = new ArrayList<>();
            Measure.Instant[] last = {Measure.Instant.now()};
            new SftTrainer(new TrainedWeights.OfAdapter(adapter, null), rows, List.of(), config, null).train(event -> {
                if (event instanceof TrainEvent.StepEnd end) {
                    Measure.Instant now = Measure.Instant.now();
                    losses.add(end.loss());
                    if (end.step() > warmup) {
                        measure.add(last[0], now, 1);
                    }
                    last[0] = now;
                }
            });
            Map<String, Object> setting = new LinkedHashMap<>();
            setting.put("model", folder.getFileName().toString());
            setting.put("dtype", "float32");
            setting.put("batch", batch);
            setting.put("length", length);
            setting.put("recompute", recompute);
            setting.put("r", r);
            setting.put("targets", targets);
            Map<String, Object> figures = new LinkedHashMap<>();
            figures.put("losses", losses);
            figures.put("peak_bytes", Measure.statusBytes("VmHWM"));
            figures.put("loaded_bytes", loaded);
            figures.put("load_peak_bytes", loadPeak);
            figures.put("load_seconds", loadSeconds);
            measure.emit("step", setting, batch * length, figures, ops.threads(), ops.description());
        }
    }

    private static String defaultFolder() {
        String cache = System.getenv().getOrDefault("XDG_CACHE_HOME", System.getProperty("user.home") + "/.cache");
        return cache + "/jqlora/bench/llama-134m";
    }

    /** The tokens of the Python side: Knuth's 64-bit generator, the upper 31 bits of each state. */
    private static int[] tokens(long seed, int count, int vocabSize) {
        int[] ids = new int[count];
        long state = seed;
        for (int i = 0; i < count; i++) {
            state = state * 6364136223846793005L + 1442695040888963407L;
            ids[i] = (int) ((state >>> 33) % vocabSize);
        }
        return ids;
    }
}
