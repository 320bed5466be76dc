package jqlora.evaluate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import jqlora.Oracle;
import jqlora.PaddedBatch;
import jqlora.PeerLogits;
import jqlora.data.TokenizedRow;
import jqlora.format.SafetensorsFile;
import jqlora.lora.LoraAdapter;
import jqlora.lora.MergeRoute;
import jqlora.lora.Merger;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.ModelLoader;
import jqlora.model.ModelWriter;
import jqlora.ops.cpu.CpuOps;
import jqlora.tensor.DType;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/**
 * What we write of a real model, with an adapter that was really trained, loads in transformers, bitsandbytes and PEFT with our logits: the 4-bit base under the adapter, and the folder
 * of the merged model. The model is in {@code -Djqlora.model}, the Python stack in {@code -Djqlora.peers}; both must be given.
 */
@Tag("model")
@Tag("peers")
class RealModelPeersTest {
    /** Logits of up to 30 after 30 layers in float32, summed in another order. */
    private static final double RTOL = 1e-4, ATOL = 2e-3;

    @TempDir
    Path temp;

    @TestFactory
    Stream<DynamicTest> baseUnderAdapterAndMergedModelInTransformers() throws Exception {
        String given = System.getProperty("jqlora.model", "");
        assertFalse(given.isBlank(), "give the model's folder: ./jqlora test --model FOLDER");
        Path source = Path.of(given);
        List<Path> cases = Oracle.list("real", "*").stream().filter(Files::isDirectory).toList();
        PeerLogits peers = new PeerLogits(temp, ids(cases));
        int adapted = 0;
        try (CpuOps ops = CpuOps.create()) {
            try (CausalLm model = ModelLoader.load(source, LoadOptions.defaults().withDtype(DType.F32), ops, LoadListener.SILENT)) {
                Path base = temp.resolve("base");
                new ModelWriter(source, DType.F32).write(model, base);
                for (Path folder : cases) {
                    String name = folder.getFileName().toString();
                    try (LoraAdapter adapter = LoraAdapter.load(model, folder.resolve("adapter_final"), false)) {
                        adapted = adapter.factors().size();
                        adapter.save(temp.resolve(name), base.toString());
                        peers.add(name + ": 4-bit base under the adapter", base, temp.resolve(name), model);
                        try (Merger.Merged merged = Merger.withoutOriginal().merge(adapter, MergeRoute.ONTO_BASE)) {
                            new ModelWriter(source, DType.F32).write(model, temp.resolve(name + "-merged"));
                            merged.unmerge();
                        }
                        // merged in float32 it must have the logits of base and adapter
                        peers.add(name + ": merged", temp.resolve(name + "-merged"), null, model);
                    }
                }
            }
            assertEquals(0, ops.memory().bytesInUse(), "bytes in use after model and adapters are closed");
        }
        List<PeerLogits.Found> found = peers.run();
        int modules = adapted;
        return found.stream().map(each -> DynamicTest.dynamicTest(each.name(), () -> {
            assertEquals(each.name().endsWith("merged") ? 0 : modules, each.adapted(), "modules with an adapter");
            assertTrue(each.name().endsWith("merged") || each.linears4bit() > 0, "the base is in 4 bits");
            each.assertSameLogits(RTOL, ATOL);
        }));
    }

    /** The first held-out row of each case. */
    private static List<int[]> ids(List<Path> cases) {
        return cases.stream().map(folder -> {
            try (SafetensorsFile file = SafetensorsFile.open(folder.resolve("batches.safetensors"))) {
                List<TokenizedRow> rows = PaddedBatch.rows(file, "eval.0.");
                return rows.getFirst().ids();
            } catch (IOException unreadable) {
                throw new UncheckedIOException(unreadable);
            }
        }).toList();
    }
}
