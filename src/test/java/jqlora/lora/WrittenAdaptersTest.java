package jqlora.lora;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import jqlora.Oracle;
import jqlora.PeerLogits;
import jqlora.RandomAdapter;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.ModelLoader;
import jqlora.model.ModelWriter;
import jqlora.ops.cpu.CpuOps;
import jqlora.quant.FourBitFormat;
import jqlora.tensor.DType;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/** Adapter folders that we write load in PEFT with every key and nothing more, and compute our logits; so do the folders of merged models. */
@Tag("peers")
class WrittenAdaptersTest {
    private static final List<int[]> IDS = List.of(new int[] {3, 141, 59, 26, 5, 35, 89, 79, 32, 38, 46, 26, 43}, new int[] {11, 22, 33, 44});
    /** As for the families: float32 noise of two orders of summation, on logits of up to about 10. */
    private static final double RTOL = 1e-5, ATOL = 1e-5;

    @TempDir
    Path temp;

    private static Map<String, LoraConfig> configs() {
        LoraConfig lora = LoraConfig.defaults().withR(8).withLoraAlpha(16).withLoraDropout(0.05f);
        LoraConfig qv = lora.withTargetModules("q_proj", "v_proj");
        Map<String, LoraConfig> configs = new LinkedHashMap<>();
        configs.put("qv", qv);
        configs.put("all_linear", lora.withR(4).withLoraAlpha(2.5));
        configs.put("rslora", qv.withUseRslora(true));
        configs.put("regex", lora.withTargetModules(new TargetModules.Regex(".*layers\\.1\\.(self_attn\\.(q|k)_proj|mlp\\.down_proj)")));
        configs.put("layers", qv.withLimits(TargetLimits.none().withLayersToTransform(List.of(1))));
        configs.put("exclude", lora.withLimits(TargetLimits.none().withExcludeModules(TargetModules.names("o_proj", "gate_proj"))));
        configs.put("patterns", lora.withTargetModules("q_proj", "up_proj", "down_proj").withPatterns(new RankPatterns(Map.of("down_proj", 2, "layers.0.self_attn.q_proj", 5), Map.of("up_proj", 3.0))));
        configs.put("head", lora.withTargetModules("k_proj", "lm_head"));
        return configs;
    }

    @TestFactory
    Stream<DynamicTest> peftLoadsThemAndComputesTheSame() throws Exception {
        PeerLogits peers = new PeerLogits(temp, IDS);
        List<Integer> adapted = new ArrayList<>();
        try (CpuOps ops = CpuOps.create()) {
            Path llama = Oracle.path("families/llama");
            for (Map.Entry<String, LoraConfig> entry : configs().entrySet()) {
                adapted.add(adapter(peers, ops, "llama " + entry.getKey(), llama, LoadOptions.asStored(), entry.getValue()));
                adapted.add(0);
            }
            LoraConfig all = configs().get("all_linear");
            for (String family : List.of("llama_tied", "llama3_rope", "llama_bias", "mistral", "qwen2", "qwen3")) {
                adapted.add(adapter(peers, ops, family + " all_linear", Oracle.path("families/" + family), LoadOptions.asStored(), all));
                adapted.add(0);
            }
            FourBitFormat nf4 = FourBitFormat.defaults();
            for (FourBitFormat format : List.of(nf4, nf4.withDoubleQuantization(false))) {
                adapted.add(adapter(peers, ops, "llama " + format, llama, LoadOptions.defaults().withQuantization(format), all));
                adapted.add(0);
            }
            assertEquals(0, ops.memory().bytesInUse(), "bytes in use after all models and adapters are closed");
        }
        List<PeerLogits.Found> found = peers.run();
        return Stream.iterate(0, i -> i < found.size(), i -> i + 1).map(i -> DynamicTest.dynamicTest(found.get(i).name(), () -> {
            assertEquals(adapted.get(i), found.get(i).adapted(), "modules with an adapter");
            found.get(i).assertSameLogits(RTOL, ATOL);
        }));
    }

    /** Asks for base and adapter, and for the merged model; both must have the logits of base and adapter here. The number of adapted modules. */
    private int adapter(PeerLogits peers, CpuOps ops, String name, Path source, LoadOptions options, LoraConfig config) throws IOException {
        Path folder = temp.resolve(name.replaceAll("\\W+", "-")), base = source;
        try (CausalLm model = ModelLoader.load(source, options, ops, LoadListener.SILENT)) {
            if (options.quantization() != null) {
                base = folder.resolve("base");
                new ModelWriter(source, DType.F32).write(model, base);
            }
            try (LoraAdapter adapter = RandomAdapter.create(model, config, 0.1, 7)) {
                adapter.save(folder.resolve("adapter"), base.toString());
                peers.add(name, base, folder.resolve("adapter"), model);
                try (Merger.Merged merged = Merger.withoutOriginal().merge(adapter, MergeRoute.ONTO_BASE)) {
                    assertTrue(!adapter.isAttached(), "the adapter is out of force");
                    new ModelWriter(source, DType.F32).write(model, folder.resolve("merged"));
                    merged.unmerge();
                }
                // the logits of base and adapter again: the merged folder must have them
                peers.add(name + ", merged", folder.resolve("merged"), null, model);
                return adapter.factors().size();
            }
        }
    }
}
