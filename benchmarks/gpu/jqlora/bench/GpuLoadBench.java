package jqlora.bench;

import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
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
import jqlora.ops.cuda.CudaLibraries;
import jqlora.ops.cuda.CudaOps;
import jqlora.ops.cuda.CudaOptions;
import jqlora.tensor.DType;

/**
 * Loading a checkpoint of bfloat16 numbers into NF4 on a GPU, out of the page cache, and merging an adapter on all linear layers by every route. The checkpoint is made if
 * {@code folder} has none. Arguments are {@code key=value}: folder=PATH, model=8b|1b|tiny, layers=N, rounds=3, merge=true, r=16, written=PATH (writes the merged model there),
 * libraries=FOLDERS.
 */
public final class GpuLoadBench {
    private GpuLoadBench() { }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> options = new TreeMap<>();
        for (String argument : arguments) {
            options.put(argument.substring(0, argument.indexOf('=')), argument.substring(argument.indexOf('=') + 1));
        }
        Path folder = Path.of(options.getOrDefault("folder", "/dev/shm/jqlora-" + options.getOrDefault("model", "8b")));
        HfConfig config = GpuStepBench.config(options.getOrDefault("model", "8b"), options.get("layers"));
        RandomCheckpoint.write(folder, config);
        int rounds = Integer.parseInt(options.getOrDefault("rounds", "3"));
        for (int round = 1; round <= rounds; round++) {
            long began = System.nanoTime();
            try (CudaOps ops = CudaOps.open(cuda(options))) {
                long opened = System.nanoTime();
                try (CausalLm model = ModelLoader.load(folder, LoadOptions.defaults(), ops, LoadListener.SILENT)) {
                    ops.synchronize();
                    System.out.printf("round %d: device opened in %.2f s, %s loaded in %.2f s, %.2f GB in use%n", round, (opened - began) / 1e9, model, (System.nanoTime() - opened) / 1e9,
                            ops.memory().bytesInUse() / 1e9);
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
                    }
                    long from = System.nanoTime();
                    merged.unmerge();
                    ops.synchronize();
                    System.out.printf("%s: %d layers merged in %.3f s, undone in %.3f s%n", route, adapter.factors().size(), (done - began) / 1e9, (System.nanoTime() - from) / 1e9);
                }
            }
        }
    }

    private static CudaOptions cuda(Map<String, String> options) {
        CudaOptions cuda = CudaOptions.defaults().withResidentBytes(0);
        return options.containsKey("libraries")
                ? cuda.withLibraries(new CudaLibraries(Arrays.stream(options.get("libraries").split(File.pathSeparator)).map(Path::of).toList())) : cuda;
    }
}
