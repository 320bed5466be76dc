package jqlora.bench;

import com.google.gson.JsonObject;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import jqlora.format.Checkpoint;
import jqlora.format.HfConfig;
import jqlora.lora.LoraAdapter;
import jqlora.lora.LoraConfig;
import jqlora.lora.MergeRoute;
import jqlora.lora.Merger;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.ModelLoader;
import jqlora.model.ModelWriter;
import jqlora.ops.cuda.CudaOps;
import jqlora.ops.cuda.CudaOptions;
import jqlora.tensor.DType;

/**
 * Loading a checkpoint of bfloat16 numbers into NF4 on a GPU, out of the page cache, and merging an adapter on all linear layers by every route. The checkpoint is made if
 * {@code folder} has none. Arguments are {@code key=value}: folder=PATH, model=8b|1b|tiny, layers=N, rounds=3, merge=true, r=16, written=PATH (writes the merged model there),
 * libraries=FOLDERS, json=FILE.
 */
public final class GpuLoadBench {
    private GpuLoadBench() { }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> options = BenchArguments.parse(arguments);
        Path folder = Path.of(options.getOrDefault("folder", "/dev/shm/jqlora-" + options.getOrDefault("model", "8b")));
        HfConfig config = GpuStepBench.config(options.getOrDefault("model", "8b"), options.get("layers"));
        RandomCheckpoint.write(folder, config);
        int rounds = Integer.parseInt(options.getOrDefault("rounds", "3"));
        for (int round = 1; round <= rounds; round++) {
            long began = System.nanoTime();
            try (CudaOps ops = CudaOps.open(CudaOptions.defaults().withResidentBytes(0).withLibraries(BenchArguments.libraries(options)))) {
                long opened = System.nanoTime();
                try (CausalLm model = ModelLoader.load(folder, LoadOptions.defaults(), ops, LoadListener.SILENT)) {
                    ops.synchronize();
                    double openSeconds = (opened - began) / 1e9, loadSeconds = (System.nanoTime() - opened) / 1e9;
                    System.out.printf("round %d: device opened in %.2f s, %s loaded in %.2f s, %.2f GB in use%n", round, openSeconds, model, loadSeconds, ops.memory().bytesInUse() / 1e9);
                    JsonObject row = JsonRows.row("load", began);
                    row.addProperty("round", round);
                    row.addProperty("open_s", openSeconds);
                    row.addProperty("seconds", loadSeconds);
                    row.addProperty("bytes_in_use", ops.memory().bytesInUse());
                    JsonRows.of(options).write(row);
                    if (round == rounds && Boolean.parseBoolean(options.getOrDefault("merge", "false"))) {
                        merges(ops, model, folder, options);
                    }
                }
            }
        }
    }

    private static void merges(CudaOps ops, CausalLm model, Path folder, Map<String, String> options) throws Exception {
        try (Checkpoint original = Checkpoint.open(folder);
                LoraAdapter adapter = LoraAdapter.create(model, LoraConfig.defaults().withR(Integer.parseInt(options.getOrDefault("r", "16"))), 1)) {
            for (MergeRoute route : MergeRoute.values()) {
                for (int i = 0; i < 2; i++) {
                    ops.synchronize();
                    long began = System.nanoTime();
                    Merger.Merged merged = Merger.withOriginal(original).merge(adapter, route);
                    ops.synchronize();
                    long done = System.nanoTime();
                    if (i == 1 && options.containsKey("written") && List.of(MergeRoute.ONTO_BASE, MergeRoute.STOCHASTIC_4BIT).contains(route)) {
                        Path written = Path.of(options.get("written"));
                        new ModelWriter(folder, DType.BF16).write(model, written);
                        double seconds = (System.nanoTime() - done) / 1e9;
                        long bytes = 0;
                        for (File file : written.toFile().listFiles()) {
                            bytes += file.length();
                            Files.delete(file.toPath());
                        }
                        System.out.printf("%s written: %.2f GB in %.2f s%n", route, bytes / 1e9, seconds);
                        JsonObject row = JsonRows.row("write", done);
                        row.addProperty("what", route.name());
                        row.addProperty("bytes", bytes);
                        row.addProperty("seconds", seconds);
                        JsonRows.of(options).write(row);
                    }
                    long from = System.nanoTime();
                    merged.unmerge();
                    ops.synchronize();
                    double undone = (System.nanoTime() - from) / 1e9;
                    System.out.printf("%s: %d layers merged in %.3f s, undone in %.3f s%n", route, adapter.factors().size(), (done - began) / 1e9, undone);
                    JsonObject row = JsonRows.row("merge", began);
                    row.addProperty("what", route.name());
                    row.addProperty("round", i + 1);
                    row.addProperty("seconds", (done - began) / 1e9);
                    row.addProperty("undo_s", undone);
                    JsonRows.of(options).write(row);
                }
            }
        }
    }
}
