package jqlora.model;

import static jqlora.Assert.assertFails;
import static jqlora.SmallModel.assertLogits;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import jqlora.SmallModel;
import jqlora.format.Checkpoint;
import jqlora.format.HfConfig;
import jqlora.format.JsonFileException;
import jqlora.lora.LoraAdapter;
import jqlora.lora.MergeRoute;
import jqlora.lora.Merger;
import jqlora.ops.Weight;
import jqlora.ops.cpu.CpuOps;
import jqlora.quant.FourBitFormat;
import jqlora.quant.FourBitType;
import jqlora.tensor.DType;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A checkpoint that is in 4 bits says itself what is not, and each layer is merged by the route that fits it. */
class PartlyFourBitTest {
    private static final List<Double> AS_STORED = List.of(7.0767, 4.2648, 2.0702, -3.5092, 0.5650, 1.8642), ALL_4BIT = List.of(6.8779, 4.5413, 1.8217, -3.3356, 0.6968, 1.5495);
    private static final String Q = "model.layers.0.self_attn.q_proj", V = "model.layers.0.self_attn.v_proj", DOWN = "model.layers.0.mlp.down_proj";
    private static CpuOps ops;

    @TempDir
    private Path folder;

    @BeforeAll
    static void open() {
        ops = CpuOps.create();
    }

    @AfterAll
    static void close() {
        assertEquals(0, ops.memory().bytesInUse(), "bytes in use after all models are closed");
        ops.close();
    }

    private static boolean isFourBit(CausalLm model, String layer) {
        return model.linear(layer).weight() instanceof Weight.FourBit;
    }

    @Test
    void whatTheCheckpointLeftAsNumbersStaysUnlessAskedOtherwise() throws IOException {
        for (LoadOptions options : List.of(LoadOptions.defaults(), LoadOptions.asStored())) {
            try (CausalLm model = SmallModel.open(SmallModel.PARTLY, options, ops)) {
                assertTrue(isFourBit(model, Q) && !isFourBit(model, V) && !isFourBit(model, DOWN));
                assertLogits("as stored", AS_STORED, model);
                assertEquals(options.quantization() != null, model.loadReport().toString().contains("2 linear layers stay as numbers, such as " + V), model.loadReport()::toString);
            }
        }
        try (CausalLm model = SmallModel.open(SmallModel.PARTLY, LoadOptions.defaults().withQuantizeRest(true), ops)) {
            assertTrue(isFourBit(model, V) && isFourBit(model, DOWN));
            assertLogits("the rest too", ALL_4BIT, model);
        }
    }

    /** A folder's config.json names one format: told when the model is loaded, and refused before a file is written. */
    @Test
    void twoFormatsInOneModel() throws IOException {
        LoadOptions mixed = LoadOptions.defaults().withQuantizeRest(true).withQuantization(FourBitFormat.defaults().withType(FourBitType.FP4));
        try (CausalLm model = SmallModel.open(SmallModel.PARTLY, mixed, ops)) {
            assertTrue(model.loadReport().toString().contains("the 4-bit weights have different formats, [nf4"), model.loadReport()::toString);
            assertTrue(model.loadReport().toString().contains("load it without withQuantizeRest"), model.loadReport()::toString);
            Path target = folder.resolve("mixed");
            assertFails(IllegalArgumentException.class, () -> new ModelWriter(SmallModel.PARTLY, DType.BF16).write(model, target), "save: the 4-bit weights have different formats");
            assertFalse(Files.exists(target));
        }
    }

    /** The tensors say it where config.json does not. */
    @Test
    void withoutAQuantizationConfig() throws IOException {
        Path copy = SmallModel.copy(SmallModel.PARTLY, folder.resolve("copy"));
        HfConfig.read(copy).withoutQuantization().write(copy);
        try (CausalLm model = SmallModel.open(copy, LoadOptions.defaults(), ops)) {
            assertLogits("as stored", AS_STORED, model);
        }
        Files.writeString(copy.resolve(HfConfig.FILE), HfConfig.read(SmallModel.PARTLY).text().replace("\"load_in_8bit\": false", "\"load_in_8bit\": true"));
        assertFails(JsonFileException.class, () -> SmallModel.open(copy, LoadOptions.defaults(), ops), "quantization_config.load_in_8bit is true", "load the 16-bit or the 4-bit model");
    }

    @Test
    void optionsThatTheCheckpointCannotMeet() {
        assertFails(IOException.class, () -> SmallModel.open(SmallModel.PARTLY, LoadOptions.fullFineTuning(), ops), Q + " is in 4 bits", "load the 16-bit model, or train an adapter");
        assertFails(IOException.class, () -> SmallModel.open(SmallModel.PARTLY, LoadOptions.defaults().withSkipModules(List.of("q_proj")), ops), Q + " is in 4 bits",
                "skipModules asks for its numbers", "take it out of skipModules");
    }

    @Test
    void eachLayerIsMergedByTheRouteThatFits() throws IOException {
        try (Checkpoint original = Checkpoint.open(SmallModel.PARTLY); CausalLm model = SmallModel.open(SmallModel.PARTLY, LoadOptions.defaults(), ops);
                LoraAdapter adapter = SmallModel.load(model, SmallModel.A1)) {
            WeightsFingerprint before = model.fingerprint();
            for (Merger merger : List.of(Merger.withOriginal(original), Merger.withoutOriginal())) {
                Merger.Merged merged = merger.merge(adapter);
                assertEquals(Map.of(Q, MergeRoute.STOCHASTIC_4BIT, V, MergeRoute.ONTO_BASE), merged.plan().routes());
                assertEquals("ONTO_BASE in 1 layer, STOCHASTIC_4BIT in 1", merged.plan().toString());
                assertTrue(isFourBit(model, Q) && !isFourBit(model, V));
                merged.unmerge();
                assertEquals(before, model.fingerprint());
            }
            Merger.Merged peft = Merger.withoutOriginal().merge(adapter, MergeRoute.PEFT_4BIT);
            assertEquals(Map.of(Q, MergeRoute.PEFT_4BIT, V, MergeRoute.ONTO_BASE), peft.plan().routes());
            peft.unmerge();
            assertFails(IOException.class, () -> Merger.withOriginal(original).merge(adapter, MergeRoute.ONTO_ORIGINAL), Q + ".weight", "is in 4 bits there too", "STOCHASTIC_4BIT or ONTO_BASE");
        }
        try (Checkpoint original = Checkpoint.open(SmallModel.BASE); CausalLm model = SmallModel.open(SmallModel.BASE, LoadOptions.defaults().withSkipModules(List.of("v_proj")), ops);
                LoraAdapter adapter = SmallModel.load(model, SmallModel.A1); Merger.Merged merged = Merger.withOriginal(original).merge(adapter)) {
            assertEquals(Map.of(Q, MergeRoute.ORIGINAL_TO_4BIT, V, MergeRoute.ONTO_BASE), merged.plan().routes());
        }
    }

    /** After a merge that made numbers of one layer the list of skipped modules has it too. */
    @Test
    void whatIsSavedSaysWhatIsNotIn4Bits() throws IOException {
        try (CausalLm model = SmallModel.open(SmallModel.PARTLY, LoadOptions.defaults(), ops)) {
            try (LoraAdapter adapter = SmallModel.load(model, SmallModel.A1)) {
                Merger.withoutOriginal().merge(adapter, MergeRoute.ONTO_BASE).close();
            }
            new ModelWriter(SmallModel.PARTLY, DType.BF16).write(model, folder.resolve("saved"));
            List<String> skipped = HfConfig.read(folder.resolve("saved")).quantization().orElseThrow().skipModules();
            assertEquals(List.of(Q, V, DOWN, "lm_head"), skipped);
            try (CausalLm saved = SmallModel.open(folder.resolve("saved"), LoadOptions.defaults(), ops)) {
                assertFalse(isFourBit(saved, Q));
                assertTrue(isFourBit(saved, "model.layers.0.self_attn.k_proj"));
            }
        }
    }

    @Test
    void aPlanCountsWhatTheCheckpointKeeps() throws IOException {
        CausalLm plan = MemoryPlanner.plannedModel(HfConfig.read(SmallModel.PARTLY), LoadOptions.defaults(), ops);
        try (CausalLm model = SmallModel.open(SmallModel.PARTLY, LoadOptions.defaults(), ops)) {
            assertEquals(MemoryReport.of(model).total().bytes(), MemoryReport.of(plan).total().bytes());
        }
    }
}
