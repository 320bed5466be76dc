package jqlora.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import jqlora.TinyModel;
import jqlora.data.BatchPlan;
import jqlora.lora.LoraAdapter;
import jqlora.lora.LoraConfig;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.ModelLoader;
import jqlora.ops.cpu.CpuOps;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A run has the same losses, lengths of gradients and weights on any number of threads. */
class ThreadsTest {
    @TempDir
    private Path folder;

    /** The embedded model in 4 bits, all its layers adapted, with dropout; long enough rows that products are cut into bands. */
    @Test
    void anAdapter() throws IOException {
        String history = null;
        byte[] weights = null;
        for (int threads : new int[] {1, 2, 3, 5}) {
            Path output = folder.resolve("adapter-" + threads);
            try (CpuOps ops = CpuOps.create(threads);
                    CausalLm model = ModelLoader.load(Path.of("models/jqlora-tiny"), LoadOptions.defaults(), ops, LoadListener.SILENT);
                    LoraAdapter adapter = LoraAdapter.create(model, LoraConfig.defaults().withR(8), 3)) {
                SftConfig config = SftConfig.defaults().withMaxSteps(2).withLearningRate(LearningRate.constant(1e-3))
                        .withBatches(new BatchConfig(3, 1, BatchPlan.Order.AS_GIVEN, BatchConfig.Normalization.TOKENS));
                TrainResult result = new SftTrainer(new TrainedWeights.OfAdapter(adapter, null), TinyModel.rows(6, 150, 7), List.of(), config, null)
                        .train(TrainListener.SILENT);
                adapter.save(output, "base");
                history = history == null ? SmallRun.history(result) : history;
                assertEquals(history, SmallRun.history(result), "on " + threads + " threads");
            }
            byte[] written = Files.readAllBytes(output.resolve("adapter_model.safetensors"));
            weights = weights == null ? written : weights;
            assertArrayEquals(weights, written, "on " + threads + " threads");
        }
    }

    /** Every weight of a small model, norms and embeddings included. */
    @Test
    void theWholeModel() throws IOException {
        SmallRun run = new SmallRun(true);
        Path expected = null;
        TrainResult first = null;
        for (int threads : new int[] {1, 2, 3, 5}) {
            Path output = folder.resolve("full-" + threads);
            try (CpuOps ops = CpuOps.create(threads)) {
                TrainResult result = run.go(ops, output, TrainListener.SILENT);
                if (expected == null) {
                    expected = output;
                    first = result;
                }
                run.assertSame(expected, first, output, result);
            }
        }
    }
}
